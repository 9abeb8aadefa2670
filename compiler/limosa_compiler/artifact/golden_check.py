"""Runs an artifact's golden vectors on this machine's runtime, in a child with limits (trust 7.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from limosa_compiler.arrays import Array, Arrays
from limosa_compiler.artifact.archive_file import Archive, Variant
from limosa_compiler.artifact.golden import parse_golden, worst_excess
from limosa_compiler.errors import GoldenMismatch
from limosa_compiler.running.limited_child import run_limited
from limosa_compiler.search.candidate import ONNXRUNTIME
from limosa_contracts.json_value import JsonValue
from limosa_contracts.serving import FILE, GOLDEN_FILE, Serving


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenResult:
    """`excess` is the largest distance beyond the tolerance; at most 0 where golden vectors hold."""

    variant: str
    cases: int
    excess: float

    @property
    def holds(self) -> bool:
        return self.excess <= 0

    def as_json(self) -> dict[str, JsonValue]:
        excess = self.excess if math.isfinite(self.excess) else None
        return {"variant": self.variant, "cases": self.cases, "holds": self.holds, "excess": excess}


def check_golden(archive: Archive) -> tuple[GoldenResult, ...]:
    """Every variant; equal models with equal vectors run once. Raises ModelRefused, GoldenMismatch."""
    known: dict[tuple[str, str], float] = {}
    results: list[GoldenResult] = []
    for variant in archive.variants:
        files = archive.files(variant)
        serving = Serving.parse(files[FILE])
        key = (variant.manifest.layer(serving.model_file).digest, variant.manifest.layer(GOLDEN_FILE).digest)
        if key not in known:
            known[key] = _excess(files, serving, variant)
        results.append(GoldenResult(variant=variant.name, cases=serving.golden.cases, excess=known[key]))
    failed = [result for result in results if not result.holds]
    if failed:
        raise GoldenMismatch(
            "the model does not answer as its golden vectors say",
            where=failed[0].variant,
            why=f"an output is {failed[0].excess:.3g} beyond its tolerance",
            hint="was another checkpoint packaged? limosa inspect says what went in",
            evidence={"golden": [result.as_json() for result in results]},
        )
    return tuple(results)


def _excess(files: dict[str, bytes], serving: Serving, variant: Variant) -> float:
    inputs, expected = parse_golden(files[GOLDEN_FILE])
    got = answers(serving, files[serving.model_file], inputs, what=variant.name)
    return worst_excess(got, expected, serving.golden)


def answers(serving: Serving, model: bytes, inputs: Arrays, *, what: str) -> dict[str, Array]:
    """On the runtime that the variant names. Raises ModelRefused; ToolchainMissing for LiteRT without it."""
    if serving.runtime == ONNXRUNTIME:
        return run_limited(model, inputs, what=what)
    from limosa_compiler.litert.runner import LitertRunner
    from limosa_compiler.litert.toolchain import require_toolchain

    runner = LitertRunner(require_toolchain(where=what), model, what=what)
    try:
        return runner.predict(inputs)
    finally:
        runner.close()
