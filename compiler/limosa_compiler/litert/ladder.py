"""The ladder of LiteRT: fp32 by conversion, then every rung that the quantizer makes of it (compiler 4).

The reference of all of them is the ONNX model in onnxruntime; a user's own .tflite is its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from limosa_compiler.arrays import Arrays
from limosa_compiler.candidate import FP16, FP32, INT4, INT8, Candidate
from limosa_compiler.errors import ModelRefused, PassFailed
from limosa_compiler.golden import TOLERANCE
from limosa_compiler.litert.conversion import RUNGS, convert, quantize
from limosa_compiler.litert.limits import LIMITS
from limosa_compiler.litert.runner import LitertRunner, Signature
from limosa_compiler.litert.toolchain import Toolchain
from limosa_compiler.loading import Loaded
from limosa_compiler.passes import OnPass, PassReport
from limosa_compiler.runs import Runs
from limosa_contracts.oci import digest_of
from limosa_contracts.serving import TensorSpec

LITERT: Final = "litert"
TFLITE_FILE: Final = "model.tflite"
PREFIX: Final = "litert-"
_PRECISION: Final[Mapping[str, str]] = {
    "fp32": FP32,
    "fp16": FP16,
    "int8": INT8,
    "int8-minmax": INT8,
    "int8-dynamic": INT8,
    "int4": INT4,
}
_SAME_STRUCTURE: Final[Mapping[str, str]] = {"int8-minmax": "int8"}
"""Rungs that differ from another one in constants only."""


@dataclass(slots=True)
class Rungs:
    """What has been made so far."""

    candidates: list[Candidate] = field(default_factory=list)
    runners: dict[str, Runs] = field(default_factory=dict)
    reports: list[PassReport] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def make_rungs(
    toolchain: Toolchain,
    loaded: Loaded,
    reference: Runs,
    *,
    on_pass: OnPass,
    rungs: Sequence[str] = RUNGS,
) -> Rungs:
    """Candidates named `litert-…`, fp32 first. Raises PassFailed or ModelRefused if fp32 cannot be made.

    A rung that cannot be made, or does not load, is left out with a warning.
    """
    made = Rungs()
    begin = time.perf_counter()
    fp32 = loaded.tflite or convert(toolchain, loaded.model, where=loaded.context.where)
    runner = LitertRunner(toolchain, fp32, what=PREFIX + FP32)
    if not loaded.tflite:
        require_same_interface(runner.signature, loaded.inputs, loaded.outputs, where=loaded.context.where)
    _add(made, FP32, fp32, runner, fp32, reference, loaded, on_pass=on_pass, begin=begin)
    _warn_of_distance(made, reference, loaded)
    if runner.signature.quantized:
        made.warnings.append("the .tflite model is quantized already: it is shipped as it is")
        return made
    begin = time.perf_counter()
    batches = loaded.calibration.batches(LIMITS.batch_rows)
    quantized = quantize(toolchain, fp32, rungs=rungs, calibration=batches, where=loaded.context.where)
    made.warnings += [
        f"{PREFIX}{rung}: left out: the quantizer: {why}" for rung, why in quantized.failed.items()
    ]
    for rung in rungs:
        if rung in quantized.models:
            _try(made, rung, quantized.models[rung], toolchain, fp32, reference, loaded, on_pass, begin)
            begin = time.perf_counter()
    return made


def require_same_interface(
    got: Signature, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec], *, where: str
) -> None:
    """Names, types and shapes as clients see them, whatever the layout inside. Raises PassFailed."""
    for specs, found in ((inputs, got.inputs), (outputs, got.outputs)):
        have = {spec.name: spec for spec in found}
        for spec in specs:
            other = have.get(spec.name)
            if other is None or other.dtype != spec.dtype or not _fits(other.shape, spec.shape):
                raise PassFailed(
                    f"the conversion changed {spec.name!r}",
                    where=where,
                    why=f"{spec.dtype} {list(spec.shape)} became "
                    + (f"{other.dtype} {list(other.shape)}" if other else f"none of {sorted(have)}"),
                )


def _fits(got: Sequence[int], wanted: Sequence[int]) -> bool:
    """A free dimension may have become 1: only the first row's shape is known before a row comes.

    >>> _fits([1, 6, 100], [-1, 6, 100]), _fits([-1, 100, 6], [-1, 6, 100])
    (True, False)
    """
    same = (have == want or -1 in (have, want) for have, want in zip(got, wanted, strict=False))
    return len(got) == len(wanted) and all(same)


def _try(
    made: Rungs,
    rung: str,
    data: bytes,
    toolchain: Toolchain,
    fp32: bytes,
    reference: Runs,
    loaded: Loaded,
    on_pass: OnPass,
    begin: float,
) -> None:
    name = PREFIX + rung
    if any(digest_of(data) == other.digest for other in made.candidates):
        made.warnings.append(f"{name}: the same bytes as another candidate; left out")
        return
    try:
        runner = LitertRunner(toolchain, data, what=name)
        _add(made, rung, data, runner, fp32, reference, loaded, on_pass=on_pass, begin=begin)
    except ModelRefused as failed:
        made.warnings.append(f"{name}: left out: {failed}")


def _add(
    made: Rungs,
    rung: str,
    data: bytes,
    runner: LitertRunner,
    fp32: bytes,
    reference: Runs,
    loaded: Loaded,
    *,
    on_pass: OnPass,
    begin: float,
) -> None:
    name = PREFIX + rung
    error = distance(runner, reference, _sample(loaded))
    made.candidates.append(
        Candidate(
            name=name,
            precision=INT8 if runner.signature.quantized and rung == FP32 else _PRECISION[rung],
            model=data,
            structure=digest_of(f"{_SAME_STRUCTURE.get(rung, rung)} {digest_of(fp32)}".encode()),
            runtime=LITERT,
            model_file=TFLITE_FILE,
            recipe={"rung": name, "runtime_tested": runner.signature.runtime},
        )
    )
    made.runners[name] = runner
    report = PassReport(
        name=f"{'convert' if rung == FP32 else 'quantize'} {name}",
        nodes_before=0,
        nodes_after=0,
        max_abs_error=error,
        seconds=time.perf_counter() - begin,
    )
    made.reports.append(report)
    on_pass(report)


def _warn_of_distance(made: Rungs, reference: Runs, loaded: Loaded) -> None:
    """A conversion is verified against ONNX (compiler 4): the gate decides, but it is said."""
    absolute, relative = TOLERANCE[FP32]
    expected = reference.predict(_sample(loaded))
    largest = max((float(np.abs(value).max(initial=0.0)) for value in expected.values()), default=0.0)
    error = made.reports[-1].max_abs_error
    if error is None or error > (absolute + relative) * largest:
        far = "not finite" if error is None else f"{error:.3g} apart, the largest answer is {largest:.3g}"
        made.warnings.append(f"{PREFIX}{FP32}: LiteRT and onnxruntime differ on the same rows: {far}")


def _sample(loaded: Loaded) -> Arrays:
    return {name: array[: LIMITS.verify_rows] for name, array in loaded.tune.inputs.items()}


def distance(runner: Runs, reference: Runs, sample: Arrays) -> float | None:
    """Largest |difference| of any output; None where one is not finite."""
    ours, theirs = runner.predict(sample), reference.predict(sample)
    gaps = [
        float(np.abs(ours[name].astype(np.float64) - theirs[name].astype(np.float64)).max(initial=0.0))
        for name in theirs
    ]
    return max(gaps) if np.isfinite(gaps).all() else None
