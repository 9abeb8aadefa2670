"""`limosa init`: the recipe that it writes is one, for models of every kind, also hostile ones."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from limosa_compiler.building import build
from limosa_compiler.commands.init import init
from limosa_compiler.errors import NotAModel, RecipeExists, UnknownTarget
from limosa_compiler.processing.attach import attach
from limosa_compiler.recipe import Recipe, read_recipe
from limosa_compiler.recipe.draft import (
    DataFacts,
    ModelFacts,
    TensorFacts,
    draft_recipe,
    picture_input,
    state_pairs,
)
from limosa_compiler.recipe.facts import model_facts
from tests.compiler import graphs
from tests.compiler.processing.attached import CONTEXT

DATA = DataFacts(evaluation="e.npz", calibration="c.npz", label="label", slices=())


def facts(*inputs: TensorFacts, outputs: tuple[TensorFacts, ...] = ()) -> ModelFacts:
    return ModelFacts(
        file="m.onnx", format="onnx", producer="", opset=17, nodes=1, size=1, quantized=False,
        inputs=inputs, outputs=outputs or (TensorFacts(name="y", dtype="FP32", shape=("N", 3)),),
    )  # fmt: skip


def tensor(name: str, *shape: int | str, dtype: str = "FP32") -> TensorFacts:
    return TensorFacts(name=name, dtype=dtype, shape=shape)


def parsed(text: str) -> Recipe:
    return Recipe.parse(tomllib.loads(text), folder=Path())


ANY_TEXT = st.text(min_size=1, max_size=12)


@given(
    names=st.lists(ANY_TEXT, min_size=1, max_size=4, unique=True),
    producer=st.text(max_size=20),
    out=ANY_TEXT,
    shape=st.lists(st.one_of(st.integers(-1, 9), ANY_TEXT), max_size=5),
)
def test_whatever_a_model_calls_its_tensors_the_draft_is_a_recipe(
    names: list[str], producer: str, out: str, shape: list[int | str]
) -> None:
    given_model = ModelFacts(
        file="m.onnx", format="onnx", producer=producer, opset=17, nodes=1, size=1, quantized=False,
        inputs=tuple(tensor(name, *shape) for name in names), outputs=(tensor(out, *shape),),
    )  # fmt: skip
    text = draft_recipe(given_model, name="a/b", version="1.0.0", targets=["rpi4"], data=DATA)
    recipe = parsed(text)
    assert set(recipe.inputs) == set(names)


def test_what_the_draft_says_builds_as_it_stands(tmp_path: Path) -> None:
    onnx.save(graphs.classifier(), tmp_path / "Doors (final).onnx")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)).astype(np.float32)
    np.savez(tmp_path / "eval.npz", x=x, y=x[:, :3].argmax(axis=1), site=np.arange(400) % 2)
    np.savez(tmp_path / "cal.npz", x=x)
    recipe = tmp_path / "limosa.toml"
    done = CliRunner().invoke(
        init,
        [str(tmp_path / "Doors (final).onnx"), "--evaluation", str(tmp_path / "eval.npz"),
         "--calibration", str(tmp_path / "cal.npz"), "--output", str(recipe)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = Recipe.parse(read_recipe(recipe), folder=tmp_path)
    assert str(found.release) == "my-team/doors-final@1.0.0"
    assert found.label == "y"
    assert '# slices = ["site"]' in recipe.read_text()
    assert build(found, folder=tmp_path / "out").path.exists()

    again = CliRunner().invoke(init, [str(tmp_path / "Doors (final).onnx"), "--output", str(recipe)])
    assert isinstance(again.exception, RecipeExists)


def test_a_recurrent_state_is_seen_by_its_name_and_shape() -> None:
    model = facts(
        tensor("input", "N", 512), tensor("state", 2, "N", 128), tensor("sr", dtype="INT64"),
        outputs=(tensor("output", "N", 1), tensor("stateN", 2, "N", 128)),
    )  # fmt: skip
    assert state_pairs(model) == (("state", "stateN"),)
    text = draft_recipe(model, name="a/b", version="1.0.0", targets=["rpi4"], data=DATA)
    assert parsed(text).inputs["state"].state_from == "stateN"
    assert "# value = 16000" in text


def test_two_states_go_to_their_own_outputs() -> None:
    model = facts(
        tensor("h0", 1, "N", 8), tensor("c0", 1, "N", 8),
        outputs=(tensor("cn", 1, "N", 8), tensor("hn", 1, "N", 8)),
    )  # fmt: skip
    assert dict(state_pairs(model)) == {"h0": "hn", "c0": "cn"}


@pytest.mark.parametrize(
    "shape, found",
    [
        (("N", 3, 224, 224), ("x", "NCHW", 3, 224, 224)),
        (("N", 299, 299, 3), ("x", "NHWC", 3, 299, 299)),
        (("N", 3, "h", "w"), ("x", "NCHW", 3, 0, 0)),
        (("N", 6, 100), None),
        (("N", 64, 7, 7), None),
    ],
)
def test_pictures_are_told_from_windows(shape: tuple[int | str, ...], found: object) -> None:
    assert picture_input(facts(tensor("x", *shape))) == found


@pytest.mark.parametrize("dtype", ["FP32", "FP16", "UINT8"])
@pytest.mark.parametrize("shape", [("N", 3, 32, 40), ("N", 32, 40, 3)])
def test_the_steps_for_pictures_are_a_recipe_that_fits_the_model_once_their_comments_are_gone(
    shape: tuple[int | str, ...], dtype: str
) -> None:
    model = facts(tensor("x", *shape, dtype=dtype))
    text = draft_recipe(model, name="a/b", version="1.0.0", targets=["rpi4"], data=DATA)
    first, last = text.index("# [[preprocess]]"), text.index("[about]")
    steps = "\n".join(line.removeprefix("#").lstrip() for line in text[first:last].splitlines())
    recipe = parsed(text[:first] + steps + "\n" + text[last:])

    number = {"FP32": TensorProto.FLOAT, "FP16": TensorProto.FLOAT16, "UINT8": TensorProto.UINT8}[dtype]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", number, list(shape))],
        [helper.make_tensor_value_info("y", number, list(shape))],
    )
    taken = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    whole, _ = attach(taken, recipe.processing, CONTEXT)
    raw = whole.graph.input[0].type.tensor_type
    assert raw.elem_type == TensorProto.UINT8
    assert raw.shape.dim[3].dim_value == 3


def test_a_state_whose_output_is_named_after_it_is_seen() -> None:
    model = facts(
        tensor("x", "N", 3), tensor("h", "N", 8),
        outputs=(tensor("score", "N", 1), tensor("h_next", "N", 8)),
    )  # fmt: skip
    assert state_pairs(model) == (("h", "h_next"),)


def test_states_and_settings_are_not_asked_for_as_data() -> None:
    model = facts(
        tensor("input", "N", 512), tensor("state", 2, "N", 128), tensor("sr", dtype="INT64"),
        outputs=(tensor("output", "N", 1), tensor("stateN", 2, "N", 128)),
    )  # fmt: skip
    text = draft_recipe(model, name="a/b", version="1.0.0", targets=["rpi4"], data=DATA)
    assert "One array per input (input)," in text


def test_text_inputs_and_no_file_at_all(tmp_path: Path) -> None:
    text_model = helper.make_model(
        helper.make_graph(
            [helper.make_node("StringNormalizer", ["words"], ["lower"], case_change_action="LOWER")],
            "g",
            [helper.make_tensor_value_info("words", TensorProto.STRING, ["N"])],
            [helper.make_tensor_value_info("lower", TensorProto.STRING, ["N"])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    onnx.save(text_model, tmp_path / "t.onnx")
    read = model_facts(tmp_path / "t.onnx", shown_as="t.onnx")
    assert read.inputs == (TensorFacts(name="words", dtype="BYTES", shape=("N",)),)
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(NotAModel):
        model_facts(tmp_path / "bad.onnx", shown_as="bad.onnx")


def test_an_unknown_target_is_said_before_anything_is_written(tmp_path: Path) -> None:
    onnx.save(graphs.classifier(), tmp_path / "m.onnx")
    done = CliRunner().invoke(
        init, [str(tmp_path / "m.onnx"), "--target", "rpi44", "--output", str(tmp_path / "limosa.toml")]
    )
    assert isinstance(done.exception, UnknownTarget)
    assert not (tmp_path / "limosa.toml").exists()
