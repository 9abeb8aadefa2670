"""Golden vectors: what the chosen variant answered here, for devices to answer alike (compiler 2.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from limosa_compiler.arrays import Array, Arrays, as_texts, encode_arrays, is_text, parse_arrays
from limosa_compiler.data import Rows
from limosa_compiler.errors import PassFailed
from limosa_compiler.limits import LIMITS
from limosa_compiler.running.runs import Runs
from limosa_contracts.serving import Golden

INPUT_PREFIX: Final = "input."
OUTPUT_PREFIX: Final = "output."
TOLERANCE: Final[Mapping[str, tuple[float, float]]] = {
    "fp32": (1e-4, 1e-3),
    "fp16": (2e-3, 1e-2),
    "int8": (0.03, 0.02),
    "int4": (1e-3, 5e-3),
}
"""Precision -> (absolute, as a share of the largest expected value; relative).

fp32 differs between processors in the order of sums; fp16 also by whether a processor has it or
widens it; int8 by a step of 1/255 here and there, which later layers may carry on; int4 has only
its weights in 4 bits, and kernels differ in how exactly they multiply them.
"""


def make_golden(
    runner: Runs, rows: Rows, *, precision: str, model_bytes: int = LIMITS.golden_max_bytes * 4
) -> tuple[bytes, Golden]:
    """(the tensor file, its tolerance) over rows spread evenly. Raises PassFailed if no answer is finite.

    Devices fetch the file with the model: it takes at most a quarter of `model_bytes`, but for the
    least number of cases that say anything.
    """
    first = rows.take(np.arange(1)).inputs
    one = [*first.values(), *runner.predict(first).values()]
    cases = case_count(rows.count, row_bytes=sum(a.nbytes for a in one), model_bytes=model_bytes)
    chosen = rows.take(np.unique(np.linspace(0, rows.count - 1, cases).astype(np.int64)))
    outputs = runner.predict(chosen.inputs)
    finite = np.all([_row_is_finite(array) for array in outputs.values()], axis=0)
    if not finite.any():
        raise PassFailed("the model gives no finite output", where="golden")
    share, relative = TOLERANCE[precision]
    kept = _decided(np.flatnonzero(finite), outputs, share)
    inputs = {name: array[kept] for name, array in chosen.inputs.items()}
    expected = {name: array[kept] for name, array in outputs.items()}
    data = encode_arrays(
        {INPUT_PREFIX + name: array for name, array in inputs.items()}
        | {OUTPUT_PREFIX + name: array for name, array in expected.items()}
    )
    return data, _tolerance(expected, len(kept), share, relative)


def case_count(rows: int, *, row_bytes: int, model_bytes: int) -> int:
    """How many golden cases a model of that size is shipped with.

    >>> [case_count(1000, row_bytes=size, model_bytes=6_000_000) for size in (1000, 600_000, 3_000_000)]
    [24, 4, 2]
    """
    most = LIMITS.golden_max_bytes // max(1, row_bytes)
    fair = max(LIMITS.golden_min_bytes, model_bytes // 4) // max(1, row_bytes)
    return max(1, min(LIMITS.golden_cases, rows, most, max(fair, LIMITS.golden_cases_min)))


def _tolerance(expected: Arrays, cases: int, share: float, relative: float) -> Golden:
    """Each output by its own size: probabilities beside states would else be held to the states' size."""
    largest = {
        name: share * float(np.abs(array).max(initial=0))
        for name, array in sorted(expected.items())
        if array.dtype.kind == "f"
    }
    top = max(largest.values(), default=0.0)
    own = {name: size for name, size in largest.items() if 0 < size < top}
    return Golden(cases=cases, absolute=top, relative=relative, outputs=own)


def _decided(rows: Array, outputs: Arrays, share: float) -> Array:
    """Without rows whose class or text hangs on less than the tolerance; all of them if none is left.

    A label is compared for equality, and a near tie falls the other way on another processor.
    """
    if all(array.dtype.kind == "f" for array in outputs.values()):
        return rows
    sure = np.ones(len(rows), dtype=bool)
    for array in outputs.values():
        if array.dtype.kind == "f" and array.ndim == 2 and array.shape[1] > 1:
            ranked = np.sort(array[rows].astype(np.float64), axis=1)
            sure &= ranked[:, -1] - ranked[:, -2] > 2 * share * np.abs(ranked).max(initial=0.0)
    return rows[sure] if sure.any() else rows


def parse_golden(data: bytes) -> tuple[dict[str, Array], dict[str, Array]]:
    """(inputs, expected outputs). Raises InvalidArtifact."""
    arrays = parse_arrays(data)
    return (
        {
            name.removeprefix(INPUT_PREFIX): array
            for name, array in arrays.items()
            if name.startswith(INPUT_PREFIX)
        },
        {
            name.removeprefix(OUTPUT_PREFIX): array
            for name, array in arrays.items()
            if name.startswith(OUTPUT_PREFIX)
        },
    )


def worst_excess(got: Arrays, expected: Arrays, golden: Golden) -> float:
    """Largest |got - expected| beyond its tolerance, at most 0 where golden vectors hold; inf for NaN."""
    worst = -np.inf
    for name, want in expected.items():
        have = got.get(name)
        if have is None or have.shape != want.shape:
            return float("inf")
        if is_text(want):
            worst = max(worst, 0.0 if np.array_equal(as_texts(have), as_texts(want)) else np.inf)
            continue
        distance = np.abs(have.astype(np.float64) - want.astype(np.float64))
        excess = distance - (golden.absolute_of(name) + golden.relative * np.abs(want.astype(np.float64)))
        worst = max(worst, float(np.where(np.isnan(excess), np.inf, excess).max(initial=-np.inf)))
    return worst


def _row_is_finite(array: Array) -> Array:
    if array.dtype.kind != "f":
        return np.ones(len(array), dtype=bool)
    flat = array.reshape(len(array), -1)
    return np.asarray(np.isfinite(flat).all(axis=1))
