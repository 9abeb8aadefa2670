"""Whether a challenger answers as the active version does (telemetry 1.4). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from limosa_agent.serving.tensor_codec import Array
from limosa_contracts.baseline import CONFIDENCE_BINS
from limosa_contracts.limits import LIMITS
from limosa_contracts.serving import Golden, Serving
from limosa_contracts.shadow import PAIRS_MAX, ShadowSketch


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Rows that could be compared, those that disagree, and the same as a sketch where there are classes."""

    rows: int = 0
    disagreed: int = 0
    sketch: ShadowSketch | None = None


class Agreement:
    """Rows are compared by the largest probability where the challenger has probabilities; else every
    element of every output both have must lie within the challenger's golden tolerance.

    >>> _best(np.array([[0.1, 0.9], [0.8, 0.2]], np.float32)).tolist()
    [1, 0]
    """

    def __init__(self, serving: Serving) -> None:
        self._probabilities: Final = serving.probabilities
        self._golden: Final = serving.golden
        self._outputs: Final = tuple(spec.name for spec in serving.outputs)

    def compare(self, active: Mapping[str, Array], challenger: Mapping[str, Array], *, rows: int) -> Compared:
        """No rows where the two give nothing that can be compared: no output of one name, or of another
        number of elements per row."""
        name = self._probabilities
        if name and name in active and name in challenger:
            ours, theirs = active[name], challenger[name]
            if _is_table(ours) and _is_table(theirs) and ours.shape[0] == theirs.shape[0]:
                return _by_class(ours, theirs)
            return Compared()
        differ = np.zeros(rows, bool)
        compared = False
        for output in self._outputs:
            if output not in active or output not in challenger:
                continue
            ours, theirs = active[output], challenger[output]
            if (
                ours.size != theirs.size
                or ours.size % rows
                or (ours.dtype.kind == "O") != (theirs.dtype.kind == "O")
            ):
                continue
            compared = True
            differ |= ~_near(ours, theirs, output, self._golden).reshape(rows, -1).all(axis=1)
        return Compared(rows=rows, disagreed=int(differ.sum())) if compared else Compared()


def _is_table(array: Array) -> bool:
    return array.ndim >= 1 and array.size > 0 and array.dtype.kind in "fiu"


def _by_class(ours: Array, theirs: Array) -> Compared:
    """Rows in which either is no number are compared, and in no bin."""
    best, other = _best(ours), _best(theirs)
    differ = best != other
    known = np.flatnonzero((best >= 0) & (other >= 0) & (best < LIMITS.classes_max))
    top = ours.reshape(ours.shape[0], -1)[known, best[known]].astype(np.float64) * CONFIDENCE_BINS
    bins = np.clip(top, 0, CONFIDENCE_BINS - 1).astype(np.intp)
    apart = known[differ[known] & (other[known] < LIMITS.classes_max)]
    pairs = Counter(zip(best[apart].tolist(), other[apart].tolist(), strict=True))
    kept = sorted(pairs, key=lambda pair: (-pairs[pair], pair))[:PAIRS_MAX]
    return Compared(
        rows=ours.shape[0],
        disagreed=int(differ.sum()),
        sketch=ShadowSketch(
            compared=tuple(np.bincount(bins, minlength=CONFIDENCE_BINS).tolist()),
            disagreed=tuple(np.bincount(bins[differ[known]], minlength=CONFIDENCE_BINS).tolist()),
            pairs={pair: pairs[pair] for pair in sorted(kept)},
        ),
    )


def _best(table: Array) -> npt.NDArray[np.intp]:
    """Per row the index of the largest value; -1 where a row has none (NaN)."""
    flat = table.reshape(table.shape[0], -1).astype(np.float64)
    return np.where(np.isnan(flat).any(axis=1), -1, flat.argmax(axis=1))


def _near(ours: Array, theirs: Array, output: str, golden: Golden) -> Array:
    if ours.dtype.kind == "O":
        same = [str(a) == str(b) for a, b in zip(ours.ravel().tolist(), theirs.ravel().tolist(), strict=True)]
        return np.array(same, bool)
    want, have = ours.ravel().astype(np.float64), theirs.ravel().astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.abs(have - want)
        near = error <= golden.absolute_of(output) + golden.relative * np.abs(want)
    either: Array = np.asarray(near | (have == want) | (np.isnan(have) & np.isnan(want)))
    return either
