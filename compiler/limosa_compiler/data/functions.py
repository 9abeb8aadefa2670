"""Data from a function of the user's own, batch after batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from limosa_compiler.arrays import Array, digest_of_arrays
from limosa_compiler.data.checks import extremes_of
from limosa_compiler.data.rows import Rows
from limosa_compiler.errors import DataMismatch, DataUnreadable, EntryPointFailed
from limosa_compiler.external.entry_point import EntryPoint
from limosa_compiler.limits import LIMITS

Batch = dict[str, Array]


def batches_of(entry: EntryPoint, *, label: str) -> Iterator[Batch]:
    """What the function yields: arrays by input, and labels under the name `label` where it gives some.

    It is called anew each time. It yields `dict`, or `(dict, labels)` with labels an array or None.
    Raises EntryPointFailed for whatever it raises, DataUnreadable for what it should not yield.
    """
    function = entry.load()
    try:
        given = iter(function())
    except (Exception, SystemExit) as error:
        raise _failed(entry, error) from error
    while True:
        try:
            item = next(given)
        except StopIteration:
            return
        except (Exception, SystemExit) as error:
            raise _failed(entry, error) from error
        yield _batch(item, entry, label)


def concatenated(entry: EntryPoint, *, label: str) -> Batch:
    """All batches as one. Raises DataUnreadable if they are too large, or do not fit one another."""
    parts: dict[str, list[Array]] = {}
    size = count = 0
    for batch in batches_of(entry, label=label):
        count += 1
        for name, array in batch.items():
            parts.setdefault(name, []).append(array)
            size += array.nbytes
        if size > LIMITS.array_max_bytes:
            raise DataUnreadable("data is too large", where=entry.name, why=f"{size} bytes so far")
    if any(len(arrays) != count for arrays in parts.values()):
        raise DataUnreadable("batches do not hold the same arrays", where=entry.name)
    try:
        return {name: np.concatenate(arrays) for name, arrays in parts.items()}
    except ValueError as error:
        raise DataUnreadable(
            "batches do not fit one another", where=entry.name, why=str(error)[:200]
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Survey:
    """What one pass over a stream tells."""

    count: int
    digest: str
    extremes: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedRows:
    """Rows that are made again each time they are read, and never held together."""

    entry: EntryPoint
    fit: Callable[[Mapping[str, Array]], Rows]
    label: str
    rows_max: int
    _known: list[_Survey] = field(default_factory=list)  # one, once it was made

    @property
    def count(self) -> int:
        return self._survey().count

    @property
    def digest(self) -> str:
        """Over the batches in their order."""
        return self._survey().digest

    @property
    def extremes(self) -> Mapping[str, tuple[float, float]]:
        """As `extremes_of` gives them, over all batches."""
        return self._survey().extremes

    def batches(self, rows: int) -> Iterator[dict[str, Array]]:
        left = self.rows_max
        for given in batches_of(self.entry, label=self.label):
            fitted = self.fit(given).first(left)
            yield from fitted.batches(rows)
            left -= fitted.count
            if left <= 0:
                return

    def _survey(self) -> _Survey:
        """One pass over all, once."""
        if not self._known:
            state, count = hashlib.sha256(), 0
            extremes: dict[str, tuple[float, float]] = {}
            for batch in self.batches(LIMITS.batch_rows):
                state.update(digest_of_arrays(batch).encode())
                count += len(next(iter(batch.values())))
                for name, (low, high) in extremes_of(batch).items():
                    least, most = extremes.get(name, (low, high))
                    extremes[name] = (min(least, low), max(most, high))
            if not count:
                raise DataMismatch("the function yields no rows", where=self.entry.name)
            self._known.append(_Survey(count=count, digest=state.hexdigest(), extremes=extremes))
        return self._known[0]


def _failed(entry: EntryPoint, error: Exception | SystemExit) -> EntryPointFailed:
    return EntryPointFailed(
        f"{entry.name} fails", where=entry.name, why=f"{type(error).__name__}: {error}"[:300]
    )


def _batch(item: object, entry: EntryPoint, label: str) -> Batch:
    arrays, labels = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
    if not isinstance(arrays, Mapping) or not arrays:
        raise DataUnreadable(
            f"{entry.name} yields {type(arrays).__name__}",
            where=entry.name,
            hint="yield a dict of arrays by input, or (dict, labels)",
        )
    batch = {str(name): np.asarray(array) for name, array in arrays.items()}
    if labels is not None:
        batch[label] = np.asarray(labels)
    return batch
