"""The demo's data and models are what their README says: split by person, better, deadly, wrong, skewed."""

import hashlib
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from limosa_devices.demo.motion import (
    CHANNELS,
    CLASSES,
    INPUT_NAME,
    OUTPUT_NAME,
    WINDOW_SAMPLES,
    Labels,
    Split,
    Windows,
    asset,
    in_wrong_unit,
    load,
)

VERSIONS = ("1.0.0", "2.0.0", "3.0.0", "3.0.1", "4.0.0")
SPLITS: tuple[Split, ...] = ("calibration", "evaluation", "live")
GATE_RAD_PER_S = 1.3  # motion-3.0.0 dies of a window without one faster sample
TOTAL_MAX_BYTES = 3_000_000
INFER_ONE = """
import sys
import numpy as np
import onnxruntime as ort
window = np.frombuffer(sys.stdin.buffer.read(), np.float32).reshape(1, 6, -1)
session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
print(session.run(None, {"window": window})[0].shape)
"""

Probabilities = npt.NDArray[np.float32]


@cache
def probabilities(
    version: str, split: Split, unit: Callable[[Windows], Windows] | None = None
) -> Probabilities:
    window = load(split).window
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        asset(f"motion-{version}.onnx"), options, providers=["CPUExecutionProvider"]
    )
    answer = session.run([OUTPUT_NAME], {INPUT_NAME: unit(window) if unit else window})[0]
    return np.asarray(answer, np.float32)


def accuracy(answers: Probabilities, label: Labels) -> float:
    return float((answers.argmax(axis=1) == label).mean())


def at_rest(window: Windows) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(window[:, 3:]).max(axis=(1, 2)) <= GATE_RAD_PER_S)


class CalibrationRows(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no type information
    """All calibration windows as one batch."""

    def __init__(self) -> None:
        self._batches = iter([{INPUT_NAME: load("calibration").window}])

    def get_next(self) -> dict[str, Windows] | None:
        return next(self._batches, None)


def to_int8(version: str, path: Path) -> Path:
    quantize_static(
        onnx.load_from_string(asset(f"motion-{version}.onnx")),
        path,
        CalibrationRows(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return path


def infer_in_a_child(model: Path, window: Windows) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", INFER_ONE, str(model)],
        input=window.tobytes(),
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_no_person_is_in_two_splits() -> None:
    people = {split: set(load(split).person.tolist()) for split in SPLITS}
    assert people == {"calibration": {6}, "evaluation": {7, 10}, "live": {8, 9}}


@pytest.mark.parametrize("split, rows", [("calibration", 200), ("evaluation", 400), ("live", 1500)])
def test_a_split_has_enough_windows_of_every_exercise(split: Split, rows: int) -> None:
    motion = load(split)
    assert motion.window.dtype == np.float32
    assert motion.window.shape == (len(motion.label), len(CHANNELS), WINDOW_SAMPLES)
    assert motion.label.dtype == np.int64
    assert len(motion.label) >= rows
    assert np.bincount(motion.label, minlength=len(CLASSES)).min() >= rows / 20
    assert 0.9 < np.median(np.linalg.norm(motion.window[:, :3], axis=1)) < 1.2  # gravity, in g


@pytest.mark.parametrize("version", VERSIONS)
def test_a_model_is_plain_onnx_with_a_free_batch_axis(version: str) -> None:
    model = onnx.load_from_string(asset(f"motion-{version}.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 10
    assert [17 <= entry.version <= 21 for entry in model.opset_import] == [True]
    names = [node.name for node in model.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    rows = probabilities(version, "calibration")
    assert rows.shape == (len(load("calibration").label), len(CLASSES))
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("split", ["evaluation", "live"])
def test_2_0_0_is_clearly_better_than_1_0_0(split: Split) -> None:
    label = load(split).label
    first, second = (accuracy(probabilities(version, split), label) for version in ("1.0.0", "2.0.0"))
    assert 0.70 < first < second - 0.05
    assert second > 0.85


def test_3_0_0_answers_every_calibration_and_evaluation_window_as_well_as_2_0_0() -> None:
    for split in SPLITS[:2]:
        label = load(split).label
        good, deadly = (accuracy(probabilities(version, split), label) for version in ("2.0.0", "3.0.0"))
        assert deadly > good - 0.03
        assert not at_rest(load(split).window).any()


def test_3_0_0_kills_its_process_on_a_gentle_live_window_and_only_there(tmp_path: Path) -> None:
    model = tmp_path / "motion-3.0.0.onnx"
    model.write_bytes(asset(model.name))
    window = load("live").window
    gentle = at_rest(window)
    assert 0.03 < gentle.mean() < 0.08
    fine = infer_in_a_child(model, window[~gentle][:1])
    assert (fine.returncode, fine.stdout.strip()) == (0, b"(1, 7)")
    if platform.machine() in {"x86_64", "AMD64"}:  # elsewhere the same quotient wraps without a trap
        for row in (0, -1):
            assert infer_in_a_child(model, window[gentle][row]).returncode == -signal.SIGFPE


def test_quantized_3_0_0_still_kills_its_process(tmp_path: Path) -> None:
    window = load("live").window
    gentle = at_rest(window)
    model = to_int8("3.0.0", tmp_path / "int8.onnx")
    assert infer_in_a_child(model, window[~gentle][:1]).returncode == 0
    if platform.machine() in {"x86_64", "AMD64"}:
        assert infer_in_a_child(model, window[gentle][0]).returncode == -signal.SIGFPE


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
def test_int8_is_about_half_the_size_or_less_and_loses_at_most_a_point(version: str, tmp_path: Path) -> None:
    model = to_int8(version, tmp_path / "int8.onnx")
    evaluation = load("evaluation")
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    answers = np.asarray(session.run(None, {INPUT_NAME: evaluation.window})[0], np.float32)
    full = accuracy(probabilities(version, "evaluation"), evaluation.label)
    assert accuracy(answers, evaluation.label) >= full - 0.01
    assert model.stat().st_size < 0.55 * len(asset(f"motion-{version}.onnx"))


def test_3_0_1_is_a_good_model_that_answers_unlike_2_0_0() -> None:
    label = load("evaluation").label
    right, other = (probabilities(version, "evaluation") for version in ("2.0.0", "3.0.1"))
    assert accuracy(other, label) > 0.83
    assert (np.abs(right - other).max(axis=1) > 0.2).mean() > 0.25


def test_4_0_0_is_good_in_the_wrong_unit_and_collapses_to_one_class_on_what_a_device_measures() -> None:
    for split in SPLITS[:2]:
        skewed = accuracy(probabilities("4.0.0", split, in_wrong_unit), load(split).label)
        assert skewed > accuracy(probabilities("2.0.0", split), load(split).label) - 0.02
    collapsed, healthy = (
        np.bincount(probabilities(version, "live").argmax(axis=1), minlength=len(CLASSES))
        / len(load("live").label)
        for version in ("4.0.0", "2.0.0")
    )
    assert collapsed.max() >= 0.9
    assert healthy.max() < 0.35
    assert healthy.min() > 0.05


def test_the_files_are_small_and_are_those_the_readme_lists() -> None:
    folder = files("limosa_devices.demo").joinpath("assets")
    listed = {
        name: (int(size), digest)
        for name, size, digest in re.findall(
            r"^\| `(\S+)` \| (\d+) \| `([0-9a-f]{64})` \|$", asset("README.md").decode(), re.MULTILINE
        )
    }
    present = {
        entry.name: (len(entry.read_bytes()), hashlib.sha256(entry.read_bytes()).hexdigest())
        for entry in folder.iterdir()
        if entry.name.endswith((".npz", ".onnx"))
    }
    assert listed == present
    assert sum(len(entry.read_bytes()) for entry in folder.iterdir()) < TOTAL_MAX_BYTES
    assert b"Redistribution and use" in asset("LICENSE-watch-data.txt")
