"""Models from scikit-learn, Paddle, TensorFlow and PyTorch: what their exporters write is taken in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from limosa_compiler.artifact.golden import parse_golden
from limosa_compiler.artifact.golden_check import check_golden
from limosa_compiler.artifact.signature import inputs_of
from limosa_compiler.building import BuildResult, build
from limosa_compiler.errors import CustomOperator, DataMismatch, UnsupportedShape
from limosa_compiler.graph_walk import nodes
from limosa_compiler.ingest import INGEST
from limosa_compiler.ingest.naming import name_nodes
from limosa_compiler.ingest.prepare import PREPARE
from limosa_compiler.ingest.zipmap import class_labels
from limosa_compiler.passes import Context, run_passes
from limosa_compiler.recipe import Recipe, read_recipe
from limosa_compiler.recipe.inputs import InputNotes
from limosa_compiler.running.runner import Runner
from limosa_contracts.errors import InvalidField
from limosa_contracts.serving import FILE, GOLDEN_FILE, Serving
from tests.compiler.exported import (
    SITES,
    keras_like,
    looping,
    paddle_like,
    sites,
    sklearn_classifier,
    text_counter,
    torch_like,
)
from tests.compiler.graphs import recipe_folder

LENIENT = "[gate]\nmax_loss_points = 20\n"


def ingest(model: onnx.ModelProto, **context: object) -> onnx.ModelProto:
    notes = Context(where="m.onnx", source_bytes=0, **context)  # type: ignore[arg-type]  # passed on
    return run_passes(model, INGEST, notes, on_pass=lambda report: None)[0]


@pytest.mark.parametrize("make", [paddle_like, keras_like, torch_like])
def test_model_of_an_exporter_answers_as_before(make: Callable[[], onnx.ModelProto]) -> None:
    original = Runner(make().SerializeToString())
    ours = Runner(ingest(make()).SerializeToString())
    name = "input:0" if make is keras_like else "x"
    feed = {name: np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)}
    constants = {"dense/kernel:0": np.eye(4, 3, dtype=np.float32)} if make is keras_like else {}
    expected = original.run(feed | {key: constants[key] for key in original.input_names if key in constants})
    got = ours.run(feed)
    assert list(got) == list(expected)
    np.testing.assert_allclose(next(iter(got.values())), next(iter(expected.values())), atol=1e-6)
    assert ours.input_names == (name,)


def test_every_node_of_every_exporter_has_a_name_of_its_own_also_inside_branches() -> None:
    for make in (paddle_like, keras_like, torch_like, looping, sklearn_classifier):
        names = [node.name for node in nodes(ingest(make()))]
        assert all(names)
        assert len(set(names)) == len(names)


def test_loop_with_a_branch_that_reads_from_both_graphs_survives_ingest_and_folding() -> None:
    model = ingest(looping())
    context = Context(where="m.onnx", source_bytes=0)
    prepared, _ = run_passes(model, PREPARE, context, on_pass=lambda report: None)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    for one in (model, prepared, name_nodes(prepared, context)[0]):
        np.testing.assert_allclose(Runner(one.SerializeToString()).run({"x": x})["y"], 3 * x, atol=1e-5)


def test_dictionaries_of_scikit_learn_become_the_scores_they_were_made_of() -> None:
    model = ingest(sklearn_classifier())
    assert not any(node.op_type == "ZipMap" for node in model.graph.node)
    x = sites(8)
    feed = {"site": x["site"].reshape(-1, 1), "load": x["load"].reshape(-1, 1)}
    answers = Runner(model.SerializeToString()).run(feed)
    assert answers["output_probability"].shape == (8, 3)
    np.testing.assert_array_equal(answers["output_probability"].argmax(axis=1), x["class"])
    assert class_labels(sklearn_classifier()) == ("fine", "hot", "off")
    assert class_labels(sklearn_classifier((3, 7, 9))) == ("3", "7", "9")


@pytest.mark.parametrize("labels", [("fine", "hot", "off"), (3, 7, 9)])
def test_tabular_pipeline_is_built_with_its_own_classes_as_labels(
    labels: tuple[str, ...] | tuple[int, ...],
    tmp_path: Path,
    build_recipe: Callable[[Path], BuildResult],
) -> None:
    """Labels are words, or numbers that are no positions; both are what the model itself says."""
    evaluation = sites(300, seed=2)
    evaluation["label"] = np.array([labels[at] for at in evaluation.pop("class")])
    calibration = sites(50)
    for arrays in (calibration, evaluation):
        arrays["site"] = np.array(arrays["site"].tolist())  # numpy's own kind of text: nothing is pickled
    recipe = recipe_folder(
        tmp_path, sklearn_classifier(labels), calibration=calibration, evaluation=evaluation, more=LENIENT
    )
    built = build_recipe(recipe)
    assert built.evidence.candidates[0].tune.metric == 1.0
    files = built.archive.files(built.archive.variants[0])
    serving = Serving.parse(files[FILE])
    assert serving.classes == tuple(str(label) for label in labels)
    assert serving.probabilities == "output_probability"
    assert {spec.name: spec.dtype for spec in serving.inputs} == {"site": "BYTES", "load": "FP32"}
    inputs, expected = parse_golden(files[GOLDEN_FILE])
    assert set(inputs["site"].ravel()) <= set(SITES)
    if isinstance(labels[0], str):
        assert set(expected["output_label"]) <= set(labels)
    assert all(result.holds for result in check_golden(built.archive))


def test_operator_of_onnxruntime_itself_is_refused_until_it_is_declared() -> None:
    with pytest.raises(CustomOperator) as refused:
        ingest(text_counter())
    assert "com.microsoft::Tokenizer" in refused.value.hint
    model = ingest(text_counter(), operators=frozenset({"com.microsoft::Tokenizer"}))
    texts = np.array([["FINE steady"], ["leak and smoke"]], dtype=object)
    scores = Runner(model.SerializeToString()).run({"text": texts})["score"]
    assert scores.argmax(axis=1).tolist() == [0, 1]


def test_locale_that_small_systems_do_not_have_is_replaced() -> None:
    model = ingest(text_counter(), operators=frozenset({"com.microsoft::Tokenizer"}))
    said = {item.name: item.s for node in model.graph.node for item in node.attribute}
    assert said["locale"] == b"C.UTF-8"


def test_free_axes_are_fixed_wherever_their_name_occurs() -> None:
    model = paddle_like()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "width"
    fixed = ingest(model, inputs={"x": InputNotes(shape=(-1, 4))})
    assert inputs_of(fixed, {})[0].shape == (-1, 4)


def test_shape_that_contradicts_the_model_is_refused_with_both() -> None:
    with pytest.raises(InvalidField) as refused:
        ingest(paddle_like(), inputs={"x": InputNotes(shape=(-1, 5))})
    assert "[-1, 4]" in refused.value.why
    assert "[-1, 5]" in refused.value.why


def test_recipe_that_speaks_of_no_input_of_the_model_names_the_nearest() -> None:
    with pytest.raises(InvalidField) as refused:
        ingest(sklearn_classifier(), inputs={"lode": InputNotes(low=0.0)})
    assert "'load'" in refused.value.hint


@pytest.mark.parametrize("value", ["fast", 1.5, True, [1.0, 2.0]])
def test_constant_of_the_wrong_kind_or_shape_is_refused(value: object) -> None:
    from tests.compiler.recurrent import accumulator

    with pytest.raises((InvalidField, UnsupportedShape)):
        ingest(accumulator(), inputs={"rate": InputNotes(value=value)})  # type: ignore[arg-type]  # wrong on purpose


def test_single_number_as_an_input_is_refused_with_the_way_out() -> None:
    from tests.compiler.recurrent import accumulator

    with pytest.raises(UnsupportedShape) as refused:
        inputs_of(ingest(accumulator()), {})
    assert "[inputs." in refused.value.hint


def test_label_that_the_model_does_not_know_is_refused_with_its_row(tmp_path: Path) -> None:
    evaluation = sites(300, seed=2)
    evaluation["label"] = np.array([("fine", "hot", "off")[at] for at in evaluation.pop("class")])
    evaluation["label"][17] = "frozen"[:4]
    calibration = sites(50)
    for arrays in (calibration, evaluation):
        arrays["site"] = np.array(arrays["site"].tolist())
    recipe = recipe_folder(
        tmp_path, sklearn_classifier(), calibration=calibration, evaluation=evaluation, more=LENIENT
    )
    with pytest.raises(DataMismatch) as refused:
        build(Recipe.parse(read_recipe(recipe), folder=tmp_path), folder=tmp_path / "dist")
    assert "row 17" in refused.value.why
