"""What a person does first: onnxruntime's quantizers with the settings that its documentation shows.

    python -m benchmarks.quality.naive dynamic|static MODEL FOLDER RESULT

A process of its own, since a quantizer may crash or need much memory. FOLDER holds a case. Sources:
onnxruntime's "Quantize ONNX models" and its example image_classification/cpu/run.py: preprocess, then
`quantize_static` with QDQ, signed weights, per tensor, MinMax. Symbolic shape inference is left out (it
needs sympy, which onnxruntime does not bring); where preprocessing fails, its input goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.quality.answers import Feeds, Variant
from benchmarks.quality.case_folder import read_case

METHODS: Final = ("dynamic", "static")
TIMEOUT_S: Final = 900.0
ROOT: Final = Path(__file__).resolve().parents[2]


class NaiveFailed(Exception):
    """The quantizer gave no model; the last line that it said."""


def quantized(method: str, model: Path, folder: Path, result: Path) -> Path:
    """Raises NaiveFailed."""
    command = [sys.executable, "-m", "benchmarks.quality.naive", method, str(model), str(folder), str(result)]
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env={**os.environ, "PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired as late:
        raise NaiveFailed(f"no end after {TIMEOUT_S:.0f} s") from late
    if done.returncode != 0 or not result.exists():
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit {done.returncode}"]
        raise NaiveFailed(lines[-1][:160])
    return result


def main(words: Sequence[str]) -> int:
    method, model, folder, result = words[0], Path(words[1]), Path(words[2]), Path(words[3])
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if method == "dynamic":
        quantize_dynamic(str(model), str(result))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        ready = Path(scratch) / "model-infer.onnx"
        try:
            quant_pre_process(str(model), str(ready), skip_symbolic_shape=True)
        except Exception as error:  # noqa: BLE001  # a person would shrug and go on with the model
            sys.stderr.write(f"preprocessing failed: {error}\n")
            ready = model
        quantize_static(
            str(ready),
            str(result),
            _Reader(feeds(model, folder)),
            quant_format=QuantFormat.QDQ,
            per_channel=False,
            weight_type=QuantType.QInt8,
        )
    return 0


def feeds(model: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Calibration rows, one at a time; of a recurrent model, its steps with the states that occur."""
    case = read_case(folder)
    variant = Variant(model, case)
    count = len(next(iter(case.calibration.values())))
    for at in range(count):
        row = {name: array[at : at + 1] for name, array in case.calibration.items()}
        if Feeds.of(case).states:
            yield from (feed for feed, _ in variant.steps(row))
        else:
            yield dict(row)


class _Reader:
    """onnxruntime's calibration data reader."""

    def __init__(self, rows: Iterator[dict[str, Any]]) -> None:
        self._rows = rows

    def get_next(self) -> dict[str, Any] | None:
        return next(self._rows, None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
