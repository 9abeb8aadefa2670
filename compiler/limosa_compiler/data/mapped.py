"""Arrays that lie in a file and are read when they are used, and give their memory back."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from limosa_compiler.arrays import Array, release

_LOCAL_HEADER: Final = struct.Struct("<4s5H3I2H")  # of a zip member; name and extra field follow
CHUNK_BYTES: Final = 16 * 1024 * 1024


def chunks(array: Array) -> Iterator[tuple[int, Array]]:
    """(first row, some rows), a few megabytes at a time."""
    rows = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    for begin in range(0, len(array), rows):
        yield begin, array[begin : begin + rows]
        release(array)


def map_member(path: Path, member: zipfile.ZipInfo) -> Array | None:
    """An array of an .npz that was stored as it is (as numpy.savez does); None if it was compressed.

    Raises ValueError for what is no array, or holds Python objects.
    """
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        return None
    with path.open("rb") as stream:
        stream.seek(member.header_offset)
        header = stream.read(_LOCAL_HEADER.size)
        if len(header) != _LOCAL_HEADER.size or header[:4] != b"PK\3\4":
            raise ValueError("a member of the file is damaged")
        *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        stream.seek(member.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes)
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
        if read is None:
            return None
        shape, fortran, dtype = read(stream)
        if dtype.hasobject:
            raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
        if 0 in shape or not shape:
            return None
        return np.asarray(
            np.memmap(path, dtype, "r", offset=stream.tell(), shape=shape, order="F" if fortran else "C")
        )
