"""What every runtime's runner does: one model, fed with whole batches (compiler 2.6)."""

from __future__ import annotations

from typing import Protocol

from limosa_compiler.arrays import Array, Arrays


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

    def predict(self, inputs: Arrays) -> dict[str, Array]:
        """Rows in any number, [N, ...] by output name. Raises ModelRefused."""
        ...

    def time_once(self, inputs: Arrays) -> float:
        """Seconds that one `run` took."""
        ...
