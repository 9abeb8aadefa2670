"""What no data may be: not a number where it is measured, or the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.data.mapped import chunks
from limosa_compiler.data.rows import Rows
from limosa_compiler.errors import DataMismatch
from limosa_compiler.recipe.inputs import InputNotes

NUMBERS: Final = "fiu"  # numpy's kinds of dtypes; texts and truth values have no range


def refuse_missing(rows: Rows, *, where: str, notes: InputNotes | None = None, hint: str = "") -> None:
    """Raises DataMismatch, naming the first row and column that is NaN or infinite."""
    for name, array in rows.inputs.items():
        if array.dtype.kind != "f":
            continue
        for begin, part in chunks(array):
            bad = ~np.isfinite(part)
            if bad.any():
                row, *rest = (int(number) for number in np.argwhere(bad)[0])
                raise DataMismatch(
                    f"array {name!r} is not a number everywhere",
                    where=where,
                    why=f"row {begin + row}, column {_column(rest)}: {part[(row, *rest)]}",
                    hint=hint,
                )


def refuse_never_moved(
    calibration: Mapping[str, tuple[float, float]], evaluation: Rows, *, where: str
) -> None:
    """Raises DataMismatch for an input that calibration never covers. `calibration`: see `extremes_of`.

    Its range would be a point, and every other value would be cut to it.
    """
    for name, (low, high) in calibration.items():
        if low < high or evaluation.inputs[name].dtype.kind not in NUMBERS:
            continue
        least, most = extremes(evaluation.inputs[name])
        if least < most:
            raise DataMismatch(
                f"calibration never covers input {name!r}",
                where=where,
                why=f"it is {low:g} in every row; evaluation has {least:g} to {most:g}",
                hint="calibrate with rows like those that devices see",
            )


def extremes_of(arrays: Mapping[str, Array]) -> dict[str, tuple[float, float]]:
    """Input -> (least, greatest) of what is finite, of inputs that are numbers: pictures are whole ones."""
    return {name: extremes(array) for name, array in arrays.items() if array.dtype.kind in NUMBERS}


def extremes(array: Array) -> tuple[float, float]:
    """(least, greatest) of what is finite; (0, 0) if nothing is."""
    lows: list[float] = []
    highs: list[float] = []
    for _, part in chunks(array):
        finite = part[np.isfinite(part)]
        if finite.size:
            lows.append(float(finite.min()))
            highs.append(float(finite.max()))
    return (min(lows), max(highs)) if lows else (0.0, 0.0)


def _column(index: list[int]) -> str:
    return ", ".join(str(number) for number in index) if index else "0"
