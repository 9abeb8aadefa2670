"""Golden vectors: reading them, and whether outputs still are what they were when compiled (compiler 6.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from limosa_agent.serving.errors import LoadFailed
from limosa_agent.serving.tensor_codec import Array
from limosa_contracts.serving import GOLDEN_FILE, Golden, Serving, TensorSpec
from limosa_contracts.tensors import NUMPY_NAME, RawTensor, parse_tensors
from limosa_contracts.text_tensors import TEXT, parse_texts


@dataclass(frozen=True, slots=True)
class GoldenCase:
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class GoldenVectors:
    cases: tuple[GoldenCase, ...]

    @classmethod
    def parse(cls, data: bytes, serving: Serving) -> Self:
        """Raises InvalidArtifact, LoadFailed."""
        raw, said = parse_tensors(data)
        texts = frozenset(name for name, kind in said.items() if kind == TEXT)
        inputs = {spec.name: _tensor(raw, f"input.{spec.name}", texts) for spec in serving.inputs}
        outputs = {
            spec.name: _tensor(raw, f"output.{spec.name}", texts)
            for spec in serving.outputs
            if f"output.{spec.name}" in raw
        }
        counts = {array.shape[0] if array.ndim else 0 for array in (*inputs.values(), *outputs.values())}
        if counts != {serving.golden.cases} or not outputs:
            raise LoadFailed(
                "golden vectors do not hold the declared cases",
                where=GOLDEN_FILE,
                why=f"{sorted(counts)} against {serving.golden.cases}",
            )
        specs = {spec.name: spec for spec in serving.inputs}
        return cls(
            tuple(
                GoldenCase(
                    {name: _one_case(array, i, specs[name]) for name, array in inputs.items()},
                    {name: array[i] for name, array in outputs.items()},
                )
                for i in range(serving.golden.cases)
            )
        )

    def __iter__(self) -> Iterator[GoldenCase]:
        return iter(self.cases)


def difference(got: Mapping[str, Array], case: GoldenCase, golden: Golden) -> tuple[float, bool]:
    """(largest absolute error, whether every element is within the tolerance). NaN never is."""
    worst, holds = 0.0, True
    for name, expected in case.outputs.items():
        if name not in got or got[name].size != expected.size:
            return float("inf"), False
        if expected.dtype.kind == "O":  # texts have no distance: equal, or not
            equal = [str(item) for item in got[name].ravel()] == [str(item) for item in expected.ravel()]
            worst, holds = (worst, holds) if equal else (float("inf"), False)
            continue
        want = expected.astype(np.float64).ravel()
        have = got[name].astype(np.float64).ravel()
        with np.errstate(invalid="ignore"):
            error = np.where(have == want, 0.0, np.abs(have - want))
        near = np.isfinite(error) & (error <= golden.absolute_of(name) + golden.relative * np.abs(want))
        holds = holds and bool(near.all())
        top = float(error.max(initial=0.0))
        worst = max(worst, top if np.isfinite(top) else float("inf"))
    return worst, holds


def _tensor(raw: Mapping[str, RawTensor], name: str, texts: frozenset[str]) -> Array:
    if name not in raw:
        raise LoadFailed(f"golden vectors lack {name}", where=GOLDEN_FILE)
    tensor = raw[name]
    if name in texts:
        flat, shape = parse_texts(tensor)
        return np.array(flat, dtype=object).reshape(shape)
    kind = np.dtype(NUMPY_NAME[tensor.dtype]).newbyteorder("<")
    return np.frombuffer(tensor.data, kind).reshape(tensor.shape)


def _one_case(array: Array, index: int, spec: TensorSpec) -> Array:
    """Case `index` in the shape the model takes: as a batch of one where the case is one row."""
    case = array[index : index + 1] if array.ndim == len(spec.shape) else array[index]
    return np.ascontiguousarray(case)
