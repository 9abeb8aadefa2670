"""Large arrays that are made here lie in a nameless file, not in memory (compiler 8)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from limosa_compiler.arrays import Array, is_text, release
from limosa_compiler.data.mapped import CHUNK_BYTES

SPOOL_BYTES: Final = 32 * 1024 * 1024  # smaller arrays stay in memory


def taken(array: Array, index: Array) -> Array:
    """`array[index]`, the same values whatever it lies in. Raises OSError for a full disk."""
    if is_text(array) or len(index) * array[:1].nbytes < SPOOL_BYTES:
        return np.asarray(array[index])
    rows = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    return spooled(_chosen(array, index, rows))


def _chosen(array: Array, index: Array, rows: int) -> Iterator[Array]:
    for begin in range(0, len(index), rows):
        yield array[index[begin : begin + rows]]
        release(array)


def spooled(parts: Iterable[Array]) -> Array:
    """The parts [n, ...] as one array; read from a file where they are large. Raises OSError.

    The file has no name and is gone with the array. It is written before it is mapped: a full disk is
    an error then, and not a signal.
    """
    kept: list[Array] = []
    stream = None
    rows, size = 0, 0
    for part in parts:
        rows, size = rows + len(part), size + part.nbytes
        kept.append(part)
        if size >= SPOOL_BYTES and not is_text(part):
            stream = stream or tempfile.TemporaryFile(prefix="limosa-")  # noqa: SIM115  # lives with the array
            for one in kept:
                stream.write(np.ascontiguousarray(one).tobytes())
            kept = [np.empty((0, *part.shape[1:]), part.dtype)]
    if stream is None:
        return np.concatenate(kept)
    with stream:
        stream.flush()
        shape = (rows, *kept[0].shape[1:])
        return np.asarray(np.memmap(stream, kept[0].dtype, "r", shape=shape))
