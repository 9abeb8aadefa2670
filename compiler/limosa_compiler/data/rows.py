"""Rows that fit a model, all at once or one batch after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from limosa_compiler.arrays import Array, digest_of_arrays, release


class RowStream(Protocol):
    """What calibration reads: the same batches each time, of any number of rows."""

    @property
    def count(self) -> int: ...

    @property
    def digest(self) -> str:
        """64 hex digits over all that is in it."""
        ...

    def batches(self, rows: int) -> Iterator[dict[str, Array]]:
        """Inputs, at most `rows` at a time."""
        ...


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
        """Copies of the rows of `index`, in its order."""
        return self._each(lambda array: array[index])

    def first(self, rows: int) -> Rows:
        """Views of the first ones: nothing is read."""
        return self._each(lambda array: array[:rows])

    def after(self, rows: int) -> Rows:
        """Views of the others: nothing is read."""
        return self._each(lambda array: array[rows:])

    def batches(self, rows: int) -> Iterator[dict[str, Array]]:
        """Inputs, `rows` at a time: what a stream of any length would give.

        What was read of a mapped file is given back after each batch: memory does not grow with rows.
        """
        for begin in range(0, self.count, rows):
            yield {name: array[begin : begin + rows] for name, array in self.inputs.items()}
            for array in self.inputs.values():
                release(array)

    def _each(self, pick: Callable[[Array], Array]) -> Rows:
        return Rows(
            inputs={name: pick(array) for name, array in self.inputs.items()},
            labels=None if self.labels is None else pick(self.labels),
            slices={name: pick(array) for name, array in self.slices.items()},
        )
