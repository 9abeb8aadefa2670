"""Arrays from .npz files and folders of .npy files. Nothing is unpickled."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Final

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.data.mapped import map_member
from limosa_compiler.errors import DataUnreadable
from limosa_compiler.limits import LIMITS

_HEADERS: Final = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_array_files(path: Path) -> dict[str, Array]:
    """Raises DataUnreadable; OSError if the file cannot be opened."""
    try:
        if path.is_dir():
            files = sorted(path.glob("*.npy"))
            for file in files:
                require_file(file)
            return {file.stem: np.asarray(np.load(file, mmap_mode="r", allow_pickle=False)) for file in files}
        require_file(path)
        return _read_npz(path)
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, zlib.error) as error:
        pickled = "pickle" in str(error)  # numpy's advice is to load it unsafely
        raise DataUnreadable(
            "data cannot be read",
            where=str(path),
            why="no .npz or .npy, or it holds Python objects, which are never loaded"
            if pickled
            else str(error)[:200],
            hint="texts: save array.astype(str); tables: .csv or .parquet" if pickled else "",
        ) from error


def require_file(path: Path) -> None:
    """Raises DataUnreadable: a pipe may never end, and a device never does."""
    if not path.is_file() and path.exists():
        raise DataUnreadable("data is not a file", where=str(path))


def _read_npz(path: Path) -> dict[str, Array]:
    if path.stat().st_size and not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            np.load(stream, allow_pickle=False)  # says what is wrong, if it is no .npy either
        raise DataUnreadable("data is a single array without a name", where=str(path))
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:
            if member.file_size > LIMITS.array_max_bytes:
                raise DataUnreadable(
                    f"array {member.filename!r} is too large",
                    where=str(path),
                    why=f"{member.file_size} bytes",
                )
        mapped = {member.filename: map_member(path, member) for member in members}
        unpacked = {name for name, array in mapped.items() if array is None}
        result = {name: array for name, array in mapped.items() if array is not None}
        for name in sorted(unpacked):
            with archive.open(name) as stream:
                result[name] = _unpacked(stream, archive.getinfo(name).file_size)
    return {name.removesuffix(".npy"): result[name] for name in sorted(result)}


def _unpacked(stream: IO[bytes], size: int) -> Array:
    """Raises ValueError before memory is taken for an array that says it is larger than what is there."""
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"arrays of version {version} are not read")
    shape, _, dtype = _HEADERS[version](stream)
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"an array says it has shape {shape}, and {size} bytes are there")
    stream.seek(0)
    return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
