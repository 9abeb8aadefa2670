"""Arrays become the rows that a model asks for, or are refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import permutations
from typing import Any, Final

import numpy as np

from limosa_compiler.arrays import Array, as_texts, is_text
from limosa_compiler.data.rows import Rows
from limosa_compiler.errors import DataMismatch, LabelsMissing
from limosa_compiler.recipe.inputs import InputNotes
from limosa_contracts.serving import NUMPY_OF_DTYPE, TensorSpec

TEXT: str = "BYTES"
_AXES_MAX: Final = 6  # of arrays whose orders are tried


def fit_rows(
    arrays: Mapping[str, Array],
    specs: Sequence[TensorSpec],
    *,
    label: str,
    where: str,
    notes: Mapping[str, InputNotes] | None = None,
    slices: Sequence[str] = (),
    sequences: bool = False,
) -> Rows:
    """The arrays that the model asks for, as it asks for them, and labels where there are any.

    Numbers are cast within their kind (float16 to float32, int64 to int32), never from float to int.
    Other arrays are left alone. With `sequences`, rows are [steps, ...] of what the model takes.
    Raises DataMismatch.
    """
    said = notes or {}
    inputs = {
        spec.name: _fit(arrays, spec, said.get(spec.name, InputNotes()), where=where, sequences=sequences)
        for spec in specs
    }
    labels = arrays.get(label)
    lengths = {name: len(array) for name, array in inputs.items()}
    if labels is not None and labels.ndim:
        lengths[label] = len(labels)
    kept = {name: _slice(arrays, name, where) for name in slices}
    lengths |= {name: len(array) for name, array in kept.items()}
    if len(set(lengths.values())) != 1:
        listed = ", ".join(f"{name} {rows}" for name, rows in lengths.items())
        raise DataMismatch("arrays have different numbers of rows", where=where, why=listed)
    return Rows(inputs=inputs, labels=labels, slices=kept)


def require_labels(rows: Rows, *, label: str, known: Sequence[str], where: str) -> Array:
    """Raises LabelsMissing."""
    if rows.labels is None or rows.labels.ndim == 0:
        raise LabelsMissing(
            f"there is no array {label!r} with a label per row",
            where=where,
            why=f"arrays: {', '.join(sorted(known))}",
            hint="name the array of labels: [data] label = …, or --label",
        )
    return rows.labels


def _slice(arrays: Mapping[str, Array], name: str, where: str) -> Array:
    array = _named(arrays, name, f"there is no array for the slice {name!r}", where)
    if array.ndim != 1 and array.size != len(array):
        raise DataMismatch(f"slice {name!r} has not one value per row", where=where)
    return as_texts(array.reshape(-1))


def _fit(
    arrays: Mapping[str, Array], spec: TensorSpec, notes: InputNotes, *, where: str, sequences: bool
) -> Array:
    array = _columns(arrays, spec, notes, where) if notes.columns else _array(arrays, spec, where)
    shape = (-1, *((-1,) if sequences else ()), *spec.shape[1:])
    if array.ndim + 1 == len(shape) and shape[-1] == 1 and not sequences:
        array = array[..., np.newaxis]  # a column of a table is one feature
    if array.ndim != len(shape) or any(
        want not in (-1, have) for want, have in zip(shape, array.shape, strict=True)
    ):
        raise DataMismatch(
            f"array {spec.name!r} has shape {list(array.shape)}",
            where=where,
            why=f"the model's input has {list(shape)}, with -1 for any"
            + (": rows, steps, and what one step takes" if sequences else ""),
            hint=_order_that_fits(array.shape, shape, spec.name),
        )
    if not array.size:
        raise DataMismatch(f"array {spec.name!r} has no rows", where=where)
    return _cast(array, spec, where)


def _order_that_fits(have: Sequence[int], want: Sequence[int], name: str) -> str:
    """A hint if only the axes stand in another order, such as NHWC for NCHW; rows stay first.

    >>> _order_that_fits((8, 100, 6), (-1, 6, 100), "x")
    'are its axes in another order? The array that fits is numpy.transpose(x, (0, 2, 1))'
    >>> _order_that_fits((8, 100, 6), (-1, 6, 99), "x")
    ''
    """
    if not 2 < len(have) == len(want) <= _AXES_MAX or -1 in want[1:]:
        return ""
    for order in permutations(range(1, len(have))):
        if [have[axis] for axis in order] == list(want[1:]):
            axes = ", ".join(str(axis) for axis in (0, *order))
            return f"are its axes in another order? The array that fits is numpy.transpose({name}, ({axes}))"
    return ""


def _cast(array: Array, spec: TensorSpec, where: str) -> Array:
    wanted = np.dtype(NUMPY_OF_DTYPE[spec.dtype])
    if spec.dtype == TEXT:
        if is_text(array):
            return as_texts(array)
    elif not is_text(array) and np.can_cast(array.dtype, wanted, casting="same_kind"):
        _refuse_overflow(array, wanted, spec.name, where)
        return np.ascontiguousarray(array, dtype=wanted)
    if is_text(array) and spec.dtype != TEXT:
        raise _holds_a_text(array.reshape(len(array), -1)[:, 0], spec.name, spec.name, where)
    raise DataMismatch(
        f"array {spec.name!r} holds {array.dtype.name}",
        where=where,
        why="the model's input takes texts"
        if spec.dtype == TEXT
        else f"the model's input is {wanted.name}, and numbers are not rounded unasked",
    )


def _refuse_overflow(array: Array, wanted: np.dtype[Any], name: str, where: str) -> None:
    if wanted.kind not in "iu" or array.dtype.kind not in "iu" or array.dtype.itemsize <= wanted.itemsize:
        return
    bounds = np.iinfo(wanted)
    if array.min() < bounds.min or array.max() > bounds.max:
        raise DataMismatch(f"array {name!r} holds numbers that {wanted.name} does not", where=where)


def _columns(arrays: Mapping[str, Array], spec: TensorSpec, notes: InputNotes, where: str) -> Array:
    found = [
        _named(arrays, name, f"there is no column {name!r} for input {spec.name!r}", where)
        for name in notes.columns
    ]
    for name, column in zip(notes.columns, found, strict=True):
        if column.ndim != 1:
            raise DataMismatch(f"{name!r} is no column", where=where, why=f"shape {list(column.shape)}")
        if is_text(column) and spec.dtype != TEXT:
            raise _holds_a_text(column, name, spec.name, where)
    if len({len(column) for column in found}) != 1:
        raise DataMismatch("columns have different numbers of rows", where=where)
    if spec.dtype == TEXT:
        return np.stack([as_texts(column) for column in found], axis=1)
    return np.stack(found, axis=1)


def _holds_a_text(column: Array, name: str, input_name: str, where: str) -> DataMismatch:
    row = _first_text(column)
    return DataMismatch(
        f"column {name!r} holds a text",
        where=where,
        why=f"row {row}: {str(column[row])[:80]!r}; input {input_name!r} takes numbers",
        hint="write numbers, or nothing where one is missing",
    )


def _first_text(column: Array) -> int:
    for row, item in enumerate(column.tolist()):
        try:
            float(item)
        except (TypeError, ValueError):
            return row
    return 0


def _array(arrays: Mapping[str, Array], spec: TensorSpec, where: str) -> Array:
    return _named(arrays, spec.name, f"there is no array for the model's input {spec.name!r}", where)


def _named(arrays: Mapping[str, Array], name: str, missing: str, where: str) -> Array:
    if name in arrays:
        return arrays[name]
    near = get_close_matches(name, sorted(arrays), n=1)
    raise DataMismatch(
        missing,
        where=where,
        why=f"arrays: {', '.join(sorted(arrays))[:400]}",
        hint=f"is {near[0]!r} meant? Rename it."
        if near
        else f"name arrays like the model's inputs, or columns of a table: [inputs.{name}] columns = [...]",
    )
