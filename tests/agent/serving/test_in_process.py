"""`limosa_agent.Model`: the same slots and checks without a worker (agent 1, 5.4)."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import limosa_agent
from limosa_agent.serving.errors import InputNames, InputRange, InputShape, NoSlot
from limosa_agent.serving.in_process import LOOK_EVERY_NS
from tests.agent.serving.releases import TINY, install, make_current, motion_plan, tiny_plan
from tests.support.waiting import wait_until

ROW = {"x": np.array([[1, 2, 3]], np.float32)}


def answers_until(model: limosa_agent.Model, wanted: list[float]) -> None:
    wait_until(lambda: model.run(ROW)["y"].tolist() == [wanted], timeout_s=5, what=f"the answer {wanted}")


def test_prediction_follows_a_switch_between_two_calls(slots: Path) -> None:
    make_current(install(tiny_plan("1.0.0", factor=2), slots))
    model = limosa_agent.Model(TINY, state_dir=slots)
    assert (model.run(ROW)["y"].tolist(), model.version) == ([[2, 4, 6]], "1.0.0")
    make_current(install(tiny_plan("2.0.0", factor=3), slots))
    answers_until(model, [3, 6, 9])
    assert model.version == "2.0.0"
    assert model.observation()["n"] == 1  # of the release that answers now


def test_switch_to_a_release_that_does_not_load_leaves_the_one_before(slots: Path) -> None:
    make_current(install(tiny_plan("1.0.0"), slots))
    model = limosa_agent.Model(TINY, state_dir=slots)
    broken = install(tiny_plan("2.0.0"), slots)
    (Path(broken.directory) / "model.onnx").write_bytes(b"no model")
    make_current(broken)
    wait_until(lambda: model.run(ROW) and model.failed_switch, timeout_s=5, what="the switch is tried")
    assert (model.run(ROW)["y"].tolist(), model.version) == ([[2, 4, 6]], "1.0.0")
    make_current(install(tiny_plan("3.0.0", factor=3), slots))
    answers_until(model, [3, 6, 9])
    assert model.failed_switch is None


def test_folder_that_vanishes_does_not_stop_predictions(slots: Path) -> None:
    slot = install(tiny_plan("1.0.0"), slots)
    make_current(slot)
    model = limosa_agent.Model(TINY, state_dir=slots)
    (Path(slot.directory).parents[1] / "current").unlink()
    time.sleep(LOOK_EVERY_NS / 1e9)  # so that it does look
    assert model.run(ROW)["y"].tolist() == [[2, 4, 6]]


def test_inputs_are_checked_and_counted(slots: Path) -> None:
    make_current(install(tiny_plan(), slots))
    model = limosa_agent.Model(TINY, state_dir=slots)
    with pytest.raises(InputShape):
        model.run({"x": np.zeros((1, 4), np.float32)})
    with pytest.raises(InputRange):
        model.run({"x": np.array([[1, 2, np.nan]], np.float32)})
    with pytest.raises(InputNames):
        model.run({"z": np.zeros((1, 3), np.float32)})
    model.run(ROW)
    seen = model.observation()
    assert (seen["requests"], seen["n"]) == (4, 1)
    assert seen["refused"] == {"LM-554": 1, "LM-555": 1, "LM-552": 1}


def test_caller_may_reuse_its_buffer(slots: Path) -> None:
    """The ring copies: a buffer that is written again does not change what was counted."""
    make_current(install(tiny_plan(), slots))
    model = limosa_agent.Model(TINY, state_dir=slots)
    buffer = np.zeros((1, 3), np.float32)
    for value in (1.0, 2.0, 3.0):
        buffer[:] = value
        model.run({"x": buffer})
    buffer[:] = 1000.0
    assert model.observation()["sums"] == [6.0, 6.0, 6.0]


def test_not_a_number_in_an_output_is_counted(slots: Path) -> None:
    make_current(install(tiny_plan(factor=float("inf")), slots))
    model = limosa_agent.Model(TINY, state_dir=slots)
    model.run(ROW)
    model.run({"x": np.zeros((1, 3), np.float32)})
    assert model.observation()["nan_outputs"] == 2


def test_classes_and_confidence_of_the_motion_model(slots: Path) -> None:
    from limosa_devices.demo import motion

    make_current(install(motion_plan("2.0.0"), slots))
    model = limosa_agent.Model("demo/motion", state_dir=slots)
    live = motion.load("live")
    guessed = [int(model.run({"window": w[None]})["probabilities"].argmax()) for w in live.window[::30]]
    counts = np.bincount(guessed, minlength=len(motion.CLASSES)).tolist()
    assert model.observation()["classes"] == counts
    assert np.mean(np.array(guessed) == live.label[::30]) > 0.7


def test_model_without_a_slot_says_so(slots: Path) -> None:
    with pytest.raises(NoSlot):
        limosa_agent.Model(TINY, state_dir=slots)


def test_supervisor_side_imports_neither_numpy_nor_a_runtime() -> None:
    code = (
        "import sys, limosa_agent.serving.pool, limosa_agent.serving.self_test;"
        "print([m for m in ('numpy', 'onnxruntime', 'uvloop', 'httptools') if m in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert said.stdout.strip() == "[]"
