"""Recurrent models: data are sequences, devices see single steps, and nobody sees the exporter's axes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from limosa_compiler.artifact.golden import parse_golden
from limosa_compiler.artifact.golden_check import check_golden
from limosa_compiler.building import BuildResult
from limosa_compiler.data import Rows
from limosa_compiler.errors import UnsupportedShape
from limosa_compiler.ingest import INGEST
from limosa_compiler.passes import Context, run_passes
from limosa_compiler.recipe.inputs import InputNotes
from limosa_compiler.running.runner import Runner
from limosa_compiler.running.stateful import State, StatefulRunner, StepStream, steps_of
from limosa_contracts.errors import InvalidField
from limosa_contracts.serving import FILE, GOLDEN_FILE, Serving
from tests.compiler.graphs import recipe_folder
from tests.compiler.recurrent import RECIPE, STEPS, WIDTH, accumulator, sequences, states_after

NOTES = {"state": InputNotes(state_from="stateN"), "rate": InputNotes(value=16000)}
STATE = State(input="state", output="stateN", shape=(1, WIDTH), dtype="float32")


def ingest(model: onnx.ModelProto, notes: dict[str, InputNotes] = NOTES) -> onnx.ModelProto:
    context = Context(where="m.onnx", source_bytes=0, inputs=notes)
    return run_passes(model, INGEST, context, on_pass=lambda report: None)[0]


def stateful(*, every_step: bool = False, capture: bool = False) -> StatefulRunner:
    model = ingest(accumulator(capture=capture)).SerializeToString()
    return StatefulRunner(Runner(model), [STATE], every_step=every_step)


def test_states_of_any_layout_become_batch_first_at_both_ends() -> None:
    model = ingest(accumulator())
    assert [value.name for value in model.graph.input] == ["x", "state"]
    shapes = {
        value.name: [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes["state"] == shapes["stateN"] == ["N", 1, WIDTH]


def test_branch_that_reads_the_state_from_around_it_still_does() -> None:
    x = sequences(5, seed=3, steps=1)["x"]
    model = Runner(ingest(accumulator(capture=True)).SerializeToString())
    state = np.ones((5, 1, WIDTH), np.float32)
    np.testing.assert_allclose(model.run({"x": x[:, 0], "state": state})["stateN"], state + x, atol=1e-6)


def test_sequences_give_what_a_loop_over_the_original_model_gives() -> None:
    x = sequences(70, seed=1)["x"]  # more than one batch
    original = Runner(accumulator().SerializeToString())
    state = np.zeros((1, 70, WIDTH), np.float32)
    for step in range(STEPS):
        answer = original.run({"x": x[:, step], "state": state, "rate": np.array(16000, np.int64)})
        state = answer["stateN"]
    ours = stateful().predict({"x": x})
    assert list(ours) == ["score"]
    np.testing.assert_allclose(ours["score"], answer["score"], atol=1e-6)
    np.testing.assert_allclose(state[0], states_after(x), atol=1e-5)


def test_every_step_can_be_answered_and_the_last_is_the_same() -> None:
    x = sequences(3, seed=2)["x"]
    each = stateful(every_step=True).predict({"x": x})["score"]
    assert each.shape == (3, STEPS, WIDTH)
    np.testing.assert_array_equal(each[:, -1], stateful().predict({"x": x})["score"])


def test_calibration_sees_states_that_grew_and_not_only_zeros() -> None:
    rows = Rows(inputs={"x": sequences(20, seed=4)["x"]}, labels=None)
    stream = StepStream(sequences=rows, make_runner=stateful)
    batches = list(stream.batches(8))
    assert sum(len(batch["x"]) for batch in batches) == 20 * STEPS
    assert max(float(np.abs(batch["state"]).max()) for batch in batches) > 1
    assert stream.digest == rows.digest


def test_single_steps_are_taken_from_the_whole_length_of_sequences() -> None:
    rows = Rows(inputs={"x": sequences(50, seed=5)["x"]}, labels=None)
    few = steps_of(stateful(), rows, most=60)
    assert few.inputs["x"].shape == (60, WIDTH)
    assert few.inputs["state"].shape == (60, 1, WIDTH)
    assert (np.abs(few.inputs["state"]).max(axis=(1, 2)) == 0).sum() == 60 // STEPS  # first steps


def test_recurrent_model_is_built_and_a_device_sees_ordinary_tensors(
    tmp_path: Path, build_recipe: Callable[[Path], BuildResult]
) -> None:
    recipe = recipe_folder(
        tmp_path,
        accumulator(),
        calibration=sequences(60, seed=6),
        evaluation=sequences(400, seed=7),
        more=RECIPE,
    )
    built = build_recipe(recipe)
    assert built.evidence.candidates[0].tune.metric == 1.0
    files = built.archive.files(built.archive.variants[0])
    serving = Serving.parse(files[FILE])
    assert serving.extra["states"] == [{"input": "state", "output": "stateN"}]
    assert {spec.name: spec.shape for spec in serving.inputs} == {"x": (-1, WIDTH), "state": (-1, 1, WIDTH)}
    assert not any(feature.tensor.startswith("state") for feature in serving.features)
    inputs, expected = parse_golden(files[GOLDEN_FILE])
    assert np.abs(inputs["state"]).max() > 0.5
    assert set(expected) == {"score", "stateN"}
    assert all(result.holds for result in check_golden(built.archive))


def test_state_from_an_output_that_is_none_names_those_that_are() -> None:
    with pytest.raises(InvalidField) as refused:
        ingest(accumulator(), {**NOTES, "state": InputNotes(state_from="hidden")})
    assert refused.value.where == "inputs.state.state_from"
    assert "stateN" in refused.value.hint


def test_state_whose_batch_axis_is_unclear_is_refused_with_the_way_out() -> None:
    model = accumulator()
    for dim in model.graph.input[1].type.tensor_type.shape.dim:
        dim.dim_value = 7
    with pytest.raises(UnsupportedShape, match="which axis") as refused:
        ingest(model)
    assert "[inputs.state] shape" in refused.value.hint
