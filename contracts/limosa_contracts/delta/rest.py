"""The rest: what lies between the spans, taken together, patched segment by segment.

A segment sees the part of the base's rest that lies about where it lies itself. So memory is bounded
by the segment and that part, not by the blobs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from limosa_contracts.delta.limits import DICTIONARY_BYTES, SEGMENT_BYTES


class Gather:
    """The bytes of `holes` of a blob, one after the other, without having them together."""

    def __init__(self, blob: memoryview, holes: Sequence[tuple[int, int]]) -> None:
        """`holes` are (start, stop), in order, not empty."""
        self._blob = blob
        self._holes = holes
        self._starts = [0, *accumulate(stop - start for start, stop in holes)]

    def __len__(self) -> int:
        return self._starts[-1]

    def pieces(self, start: int, stop: int) -> Iterator[memoryview]:
        """Views of the blob that make up bytes `start` to `stop` of the rest."""
        hole = max(0, bisect_right(self._starts, start) - 1)
        while start < stop:
            first, _ = self._holes[hole]
            size = min(stop, self._starts[hole + 1]) - start
            at = first + start - self._starts[hole]
            yield self._blob[at : at + size]
            start += size
            hole += 1

    def read(self, start: int, stop: int) -> bytes:
        return b"".join(self.pieces(start, stop))


def holes_between(spans: Sequence[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """What `spans` (in order, apart) leave of `size` bytes.

    >>> holes_between([(2, 4), (4, 5)], 9)
    [(0, 2), (5, 9)]
    """
    edges = [0, *(edge for span in spans for edge in span), size]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [(start, stop) for start, stop in pairs if start < stop]


def segments(rest: int, base_rest: int) -> Iterator[tuple[int, int, int, int]]:
    """(start, stop) of each segment and (start, stop) of the base's rest that it sees."""
    whole = rest <= SEGMENT_BYTES or base_rest <= DICTIONARY_BYTES
    for start in range(0, rest, SEGMENT_BYTES):
        stop = min(rest, start + SEGMENT_BYTES)
        if whole:
            seen = max(0, base_rest - DICTIONARY_BYTES) if start else 0
            yield start, stop, seen, min(base_rest, seen + DICTIONARY_BYTES)
        else:
            middle = (start + stop) * base_rest // (2 * rest)
            seen = min(max(0, middle - DICTIONARY_BYTES // 2), base_rest - DICTIONARY_BYTES)
            yield start, stop, seen, seen + DICTIONARY_BYTES
