"""The ladder of LiteRT: fp32 by conversion, then every rung that the quantizer makes of it (compiler 4).

The reference of all of them is the ONNX model in onnxruntime; a user's own .tflite is its own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.artifact.golden import TOLERANCE
from limosa_compiler.errors import ModelRefused, PassFailed
from limosa_compiler.litert.conversion import convert, quantize
from limosa_compiler.litert.limits import LIMITS
from limosa_compiler.litert.runner import LitertRunner, Signature, require_same_interface
from limosa_compiler.litert.toolchain import Toolchain, require_toolchain
from limosa_compiler.loading.loaded import Loaded, with_states
from limosa_compiler.passes import OnPass, PassReport
from limosa_compiler.recipe.search import SearchNotes
from limosa_compiler.running.runners import Runners
from limosa_compiler.running.runs import Runs
from limosa_compiler.search.candidate import FP16, FP32, INT4, INT8, ONNXRUNTIME, Candidate
from limosa_compiler.search.ladder import Ladder, distance, step
from limosa_compiler.search.left_out import DOES_NOT_LOAD, NOT_MADE, SAME_BYTES, LeftOut
from limosa_contracts.oci import digest_of
from limosa_contracts.profiles import Profile

LITERT: Final = "litert"
TFLITE_FILE: Final = "model.tflite"
PREFIX: Final = "litert-"


@dataclass(frozen=True, slots=True, kw_only=True)
class LitertRung:
    """`kind` is what `[search] rungs` names; `structure` is equal where only constants differ."""

    name: str
    kind: str
    precision: str
    structure: str
    float_activations: bool


RUNGS: Final = (
    LitertRung(name="fp16", kind="fp16", precision=FP16, structure="fp16", float_activations=True),
    LitertRung(name="int8", kind="int8", precision=INT8, structure="int8", float_activations=False),
    LitertRung(name="int8-minmax", kind="int8", precision=INT8, structure="int8", float_activations=False),
    LitertRung(
        name="int8-dynamic", kind="int8-dynamic", precision=INT8, structure="dynamic", float_activations=True
    ),
    LitertRung(name="int4", kind="int4", precision=INT4, structure="int4", float_activations=True),
)
"""Static int8 takes ranges averaged over calibration rows, or their extremes; neither wins everywhere."""


def wants_litert(profile: Profile) -> bool:
    """Whether it names LiteRT first, or has no onnxruntime."""
    names = [runtime.name for runtime in profile.runtimes]
    return LITERT in names and (names[0] == LITERT or ONNXRUNTIME not in names)


def with_litert(
    found: Ladder, loaded: Loaded, profiles: Sequence[Profile], notes: SearchNotes, *, on_pass: OnPass
) -> Ladder:
    """The same, and LiteRT's rungs where a target wants them.

    Raises ToolchainMissing; PassFailed if the model cannot be converted and a target has nothing else.
    """
    takers = [profile for profile in profiles if wants_litert(profile)]
    if not takers:
        return found
    toolchain = require_toolchain(where=", ".join(profile.name for profile in takers))
    begin = time.perf_counter()
    try:
        fp32 = convert(toolchain, loaded.model, where=loaded.context.where)
        signature = signature_of(toolchain, fp32)
        require_same_interface(signature, loaded.inputs, loaded.outputs, where=loaded.context.where)
    except (PassFailed, ModelRefused) as failed:
        if any(len(profile.runtimes) == 1 for profile in takers):
            raise
        left = LeftOut(name=PREFIX + FP32, reason=NOT_MADE, detail=str(failed)[:300])
        return replace(found, left_out=(*found.left_out, left))
    first = LitertRung(name=FP32, kind=FP32, precision=FP32, structure=FP32, float_activations=True)
    adding = _Adding.to(found, loaded, toolchain, signature, on_pass=on_pass)
    adding.add(first, fp32, base=fp32, begin=begin, did="convert")
    adding.verify(PREFIX + FP32)
    return adding.with_rungs(fp32, wanted_rungs(takers, notes))


def tflite_ladder(
    loaded: Loaded, profiles: Sequence[Profile], notes: SearchNotes, *, on_pass: OnPass
) -> Ladder:
    """Of a model that came as .tflite: the file as it is, which is the reference, and its rungs."""
    toolchain = require_toolchain(where=loaded.context.where)
    signature = signature_of(toolchain, loaded.tflite)
    runners = Runners()
    runners.add(FP32, lambda: LitertRunner(toolchain, loaded.tflite, what=FP32))
    given = Candidate(
        name=FP32,
        precision=INT8 if signature.quantized else FP32,
        model=loaded.tflite,
        structure=digest_of(f"{FP32} {digest_of(loaded.tflite)}".encode()),
        runtime=LITERT,
        model_file=TFLITE_FILE,
        recipe={"rung": "as given", "runtime_tested": signature.runtime},
    )
    found = Ladder(candidates=(given,), runners=runners, reports=())
    if signature.quantized:
        said = (
            f"{loaded.context.where} is quantized already: it is shipped as it is, and is its own reference"
        )
        return replace(found, warnings=(said,))
    adding = _Adding.to(found, loaded, toolchain, signature, on_pass=on_pass)
    return adding.with_rungs(loaded.tflite, wanted_rungs(profiles, notes))


def wanted_rungs(profiles: Sequence[Profile], notes: SearchNotes) -> tuple[LitertRung, ...]:
    precisions = {precision for profile in profiles for precision in profile.precisions}
    return tuple(rung for rung in RUNGS if rung.precision in precisions and notes.tries(rung.kind))


def signature_of(toolchain: Toolchain, model: bytes) -> Signature:
    """Raises ModelRefused."""
    runner = LitertRunner(toolchain, model, what=PREFIX + FP32)
    runner.close()
    return runner.signature


@dataclass(slots=True, kw_only=True)
class _Adding:
    """A ladder that grows."""

    found: Ladder
    loaded: Loaded
    toolchain: Toolchain
    signature: Signature
    on_pass: OnPass
    sample: Mapping[str, Array]
    expected: Mapping[str, Array]
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def to(
        cls, found: Ladder, loaded: Loaded, toolchain: Toolchain, signature: Signature, *, on_pass: OnPass
    ) -> _Adding:
        sample = loaded.tune.first(min(LIMITS.verify_rows, loaded.tune.count)).inputs
        return cls(
            found=found,
            loaded=loaded,
            toolchain=toolchain,
            signature=signature,
            on_pass=on_pass,
            sample=sample,
            expected=found.fp32.predict(sample),
        )

    def with_rungs(self, fp32: bytes, rungs: Sequence[LitertRung]) -> Ladder:
        if not rungs:
            return replace(self.found, warnings=(*self.found.warnings, *self.warnings))
        begin = time.perf_counter()
        try:
            made = quantize(
                self.toolchain,
                fp32,
                rungs=[rung.name for rung in rungs],
                calibration=self.loaded.calibration.batches(LIMITS.batch_rows),
                where=self.loaded.context.where,
            )
        except PassFailed as failed:
            self._leave_out("quantization", NOT_MADE, str(failed))
            return replace(self.found, warnings=(*self.found.warnings, *self.warnings))
        report = step("quantize for LiteRT", nodes=0, begin=begin, note=f"{len(made.models)} models")
        self._report(report)
        for rung in rungs:
            if rung.name not in made.models:
                why = made.failed.get(rung.name, "the quantizer gave nothing")
                self._leave_out(rung.name, NOT_MADE, why)
            else:
                self.add(rung, made.models[rung.name], base=fp32, begin=time.perf_counter(), did="make")
        return replace(self.found, warnings=(*self.found.warnings, *self.warnings))

    def add(self, rung: LitertRung, model: bytes, *, base: bytes, begin: float, did: str) -> None:
        name = PREFIX + rung.name
        for other in self.found.candidates:
            if other.digest == digest_of(model):
                self._leave_out(rung.name, SAME_BYTES, other.name)
                return
        self.found.runners.add(name, lambda: self._load(model, name))
        try:
            error = distance(self.found.runners[name].predict(self.sample), self.expected)
        except ModelRefused as failed:
            self.found.runners.drop(name)
            self._leave_out(rung.name, DOES_NOT_LOAD, str(failed))
            return
        made = Candidate(
            name=name,
            precision=rung.precision,
            model=model,
            structure=digest_of(f"{rung.structure} {digest_of(base)}".encode()),
            runtime=LITERT,
            model_file=TFLITE_FILE,
            recipe={
                "rung": name,
                "runtime_tested": self.signature.runtime,
                "activations": "float" if rung.float_activations else "int8",
            },
        )
        self.found = replace(self.found, candidates=(*self.found.candidates, made))
        self._report(replace(step(f"{did} {name}", nodes=0, begin=begin), max_abs_error=error))

    def verify(self, name: str) -> None:
        """A conversion is held against ONNX (compiler 4). The gate decides; what is seen here is said."""
        absolute, relative = TOLERANCE[FP32]
        floats = [value for value in self.expected.values() if value.dtype.kind == "f"]
        largest = max((float(np.abs(value).max(initial=0.0)) for value in floats), default=0.0)
        reports = [report for report in self.found.reports if report.name == f"convert {name}"]
        error = reports[-1].max_abs_error if reports else None
        if reports and (error is None or error > (absolute + relative) * largest):
            apart = "not finite" if error is None else f"{error:.3g} apart, of at most {largest:.3g}"
            self.warnings.append(f"{name}: LiteRT and onnxruntime differ on the same rows: {apart}")

    def _load(self, model: bytes, name: str) -> Runs:
        plain = LitertRunner(self.toolchain, model, what=name)
        return with_states(plain, self.loaded.states, every_step=self.loaded.every_step)

    def _leave_out(self, name: str, reason: str, detail: str) -> None:
        left = LeftOut(name=PREFIX + name, reason=reason, detail=detail[:300])
        self.found = replace(self.found, left_out=(*self.found.left_out, left))

    def _report(self, report: PassReport) -> None:
        self.found = replace(self.found, reports=(*self.found.reports, report))
        self.on_pass(report)
