"""Calibration and evaluation data: arrays named like the model's inputs, one row per case."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from limosa_compiler.arrays import Array, digest_of_arrays
from limosa_compiler.errors import DataMismatch, DataUnreadable, LabelsMissing
from limosa_compiler.limits import LIMITS
from limosa_compiler.recipe_data import Source
from limosa_contracts.serving import NUMPY_OF_DTYPE, TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """`inputs` fit the model: names, types, shapes; every array has the same first dimension.

    `slices` [N] name the part of the data that a row belongs to, by column.
    """

    inputs: Mapping[str, Array]
    labels: Array | None
    slices: Mapping[str, Array] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def digest(self) -> str:
        """64 hex digits over inputs and labels."""
        labels = {} if self.labels is None else {"\0labels": self.labels}
        return digest_of_arrays({**self.inputs, **labels})

    def take(self, index: Array) -> Rows:
        return Rows(
            inputs={name: array[index] for name, array in self.inputs.items()},
            labels=None if self.labels is None else self.labels[index],
            slices={name: array[index] for name, array in self.slices.items()},
        )

    def batches(self, rows: int) -> Iterator[dict[str, Array]]:
        """Inputs, `rows` at a time: what a stream of any length would give."""
        for begin in range(0, self.count, rows):
            yield {name: array[begin : begin + rows] for name, array in self.inputs.items()}


def read_arrays(path: Source) -> dict[str, Array]:
    """From an .npz file or a folder of .npy files. Raises DataUnreadable; nothing is unpickled."""
    if not isinstance(path, Path):
        raise DataUnreadable("this version reads files only", where=path.name)
    try:
        if path.is_dir():
            files = sorted(path.glob("*.npy"))
            arrays = {
                file.stem: np.asarray(np.load(file, mmap_mode="r", allow_pickle=False)) for file in files
            }
        else:
            arrays = _read_npz(path)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataUnreadable("data cannot be read", where=str(path), why=str(error)[:200]) from error
    if not arrays:
        raise DataUnreadable("data holds no arrays", where=str(path))
    for name, array in arrays.items():
        if array.nbytes > LIMITS.array_max_bytes:
            raise DataUnreadable(f"array {name!r} is too large", where=str(path), why=f"{array.nbytes} bytes")
    return arrays


def _read_npz(path: Path) -> dict[str, Array]:
    with path.open("rb") as stream:  # numpy leaves a file of its own open when a zip is damaged
        stored = np.load(stream, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise DataUnreadable("data is a single array without a name", where=str(path))
        with stored:
            return {name: stored[name] for name in stored.files}


def fit_rows(arrays: Mapping[str, Array], specs: Sequence[TensorSpec], *, label: str, where: str) -> Rows:
    """The arrays that the model asks for, as it asks for them, and labels where there are any.

    Numbers are cast within their kind (float16 to float32, int64 to int32), never from float to int.
    Other arrays are left alone. Raises DataMismatch.
    """
    inputs = {spec.name: _fit(arrays, spec, where=where) for spec in specs}
    labels = arrays.get(label)
    lengths = {name: len(array) for name, array in inputs.items()}
    if labels is not None and labels.ndim:
        lengths[label] = len(labels)
    if len(set(lengths.values())) != 1:
        listed = ", ".join(f"{name} {rows}" for name, rows in lengths.items())
        raise DataMismatch("arrays have different numbers of rows", where=where, why=listed)
    return Rows(inputs=inputs, labels=labels)


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


def split_rows(rows: Rows, *, tune_share: float) -> tuple[Rows, Rows]:
    """(tune, holdout), by a hash of each row's values.

    The same row is always on the same side of one data set, also when it occurs twice; no order of
    the file and no seed matters.
    """
    keys = _row_keys(rows)
    ranked = sorted(set(keys))
    tuned = set(ranked[: max(1, round(tune_share * len(ranked)))])
    chosen = np.array([key in tuned for key in keys], dtype=bool)
    return rows.take(np.flatnonzero(chosen)), rows.take(np.flatnonzero(~chosen))


def _row_keys(rows: Rows) -> list[bytes]:
    arrays = [np.ascontiguousarray(rows.inputs[name]) for name in sorted(rows.inputs)]
    return [
        hashlib.sha256(b"".join(array[i].tobytes() for array in arrays)).digest() for i in range(rows.count)
    ]


def _fit(arrays: Mapping[str, Array], spec: TensorSpec, *, where: str) -> Array:
    if spec.name not in arrays:
        near = get_close_matches(spec.name, sorted(arrays), n=1)
        raise DataMismatch(
            f"there is no array for the model's input {spec.name!r}",
            where=where,
            why=f"arrays: {', '.join(sorted(arrays))}",
            hint=f"is {near[0]!r} meant? Rename it." if near else "name arrays like the model's inputs",
        )
    array = arrays[spec.name]
    wanted = np.dtype(NUMPY_OF_DTYPE[spec.dtype])
    shape = (-1, *spec.shape[1:])
    if array.ndim != len(shape) or any(
        want not in (-1, have) for want, have in zip(shape, array.shape, strict=True)
    ):
        raise DataMismatch(
            f"array {spec.name!r} has shape {list(array.shape)}",
            where=where,
            why=f"the model's input has {list(shape)}, with -1 for any",
        )
    if not len(array):
        raise DataMismatch(f"array {spec.name!r} has no rows", where=where)
    if not np.can_cast(array.dtype, wanted, casting="same_kind"):
        raise DataMismatch(
            f"array {spec.name!r} holds {array.dtype.name}",
            where=where,
            why=f"the model's input is {wanted.name}, and numbers are not rounded unasked",
        )
    return np.ascontiguousarray(array, dtype=wanted)
