"""Counts rows of features into a baseline's bins: a table look-up and one bincount (telemetry 1.2).

The compiler counts the baseline through the same table as the device its windows, so binning adds no
error between the two (telemetry 2.1). All arithmetic on values is float32 on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from limosa_contracts.baseline import BINS, CELLS, FeatureBaseline
from limosa_contracts.errors import InvalidField

Ints: TypeAlias = npt.NDArray[np.int64]
Doubles: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[np.float32]
_MISSING_CELL: Final = CELLS  # one more cell than values have, for NaN
_SLOTS: Final = BINS + 1  # the last counts NaN


class Binner:
    """Bins of one baseline. Reused: it holds no rows."""

    def __init__(self, features: Sequence[FeatureBaseline]) -> None:
        self.width = len(features)
        low = np.array([feature.low for feature in features], np.float64)
        high = np.array([feature.high for feature in features], np.float64)
        self._low = low.astype(np.float32)
        self._high = high.astype(np.float32)
        self._scale = (CELLS / (high - low)).astype(np.float32)
        self._asinh = np.flatnonzero([feature.transform == "asinh" for feature in features])
        self._table = np.concatenate(
            [_slots(feature) + _SLOTS * column for column, feature in enumerate(features)]
            or [np.empty(0, np.intp)]
        )
        self._first_cell = np.arange(self.width, dtype=np.intp) * (CELLS + 1)

    def transformed(self, rows: Rows) -> Rows:
        """`rows`, or a copy with the transform of each feature applied."""
        if not self._asinh.size:
            return rows
        result = rows.copy()
        result[:, self._asinh] = np.arcsinh(rows[:, self._asinh])
        return result

    def count(self, rows: Rows) -> tuple[Ints, Ints, Doubles, Doubles]:
        """(bins [F, 32], missing [F], sums [F], squares [F]) of float32 rows [N, F].

        Infinite values fall into the tails and are left out of the sums. Raises InvalidField for
        another width.
        """
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise InvalidField(f"rows of {self.width} features are needed", where="rows", why=str(rows.shape))
        values = self.transformed(rows)
        exact = values.astype(np.float64)
        squares = np.einsum("nf,nf->f", exact, exact)
        if np.isfinite(squares).all():  # float64 squares of float32 values: finite exactly if all are
            cells = self._cells(values)
        else:
            cells = self._cells_of_any(values)
            exact[~np.isfinite(exact)] = 0.0
            squares = np.einsum("nf,nf->f", exact, exact)
        cells += self._first_cell
        counts = np.bincount(self._table.take(cells.ravel()), minlength=_SLOTS * self.width)
        table = counts.astype(np.int64, copy=False).reshape(self.width, _SLOTS)
        return table[:, :BINS], table[:, BINS], exact.sum(axis=0), squares

    def _cells(self, values: Rows) -> npt.NDArray[np.intp]:
        """Cells of finite values. Clipped before they are scaled, so that nothing overflows."""
        scaled = np.maximum(values, self._low)
        np.minimum(scaled, self._high, out=scaled)
        scaled -= self._low
        scaled *= self._scale
        np.minimum(scaled, np.float32(CELLS - 1), out=scaled)
        return scaled.astype(np.intp)

    def _cells_of_any(self, values: Rows) -> npt.NDArray[np.intp]:
        """The same for rows that hold NaN or infinities."""
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = (values - self._low) * self._scale
        cells: npt.NDArray[np.intp] = np.fmin(np.fmax(scaled, np.float32(0)), np.float32(CELLS - 1)).astype(
            np.intp
        )
        cells[np.isnan(values)] = _MISSING_CELL
        return cells


def _slots(feature: FeatureBaseline) -> npt.NDArray[np.intp]:
    """Bin of each cell: how many edges are <= it; NaN's cell has the last slot."""
    bins = np.searchsorted(np.array(feature.edges, np.int64), np.arange(CELLS), side="right")
    return np.append(bins, BINS).astype(np.intp)
