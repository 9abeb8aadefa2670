"""What every runtime's runner does: one model, fed with whole batches (compiler 2.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from limosa_compiler.arrays import Array, Arrays, release


class Runs(Protocol):
    """A loaded model. The same inputs give the same bits, each time and on every thread count."""

    @property
    def input_names(self) -> tuple[str, ...]: ...

    @property
    def output_names(self) -> tuple[str, ...]: ...

    @property
    def batch_rows(self) -> int:
        """Most rows that `run` takes at once, at least 1."""
        ...

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """One batch: arrays [n, ...] by input name, n at most `batch_rows`. Raises ModelRefused."""
        ...

    def answers(self, inputs: Arrays, outputs: Sequence[str] = ()) -> Iterator[dict[str, Array]]:
        """Rows in any number, `batch_rows` at a time and in order; those outputs, or all.

        Few batches are in memory at once: what is large is looked at here (compiler 8). Raises ModelRefused.
        """
        ...

    def predict(self, inputs: Arrays) -> dict[str, Array]:
        """The same in one piece: [N, ...] by output name. Raises ModelRefused."""
        ...

    def time_once(self, inputs: Arrays) -> float:
        """Seconds that one `run` took."""
        ...


def batches_of(inputs: Arrays, rows: int) -> Iterator[dict[str, Array]]:
    """Views, `rows` at a time. Pages of mapped files are given back after each."""
    for begin in range(0, len(next(iter(inputs.values()))), rows):
        yield {name: array[begin : begin + rows] for name, array in inputs.items()}
        for array in inputs.values():
            release(array)


def joined(parts: Iterable[dict[str, Array]], names: Sequence[str]) -> dict[str, Array]:
    """Batches in their order, as one."""
    kept = list(parts)
    return {name: np.concatenate([part[name] for part in kept]) for name in names}
