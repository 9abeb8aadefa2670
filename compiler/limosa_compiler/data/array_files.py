"""Arrays from .npz files and folders of .npy files. Nothing is unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.data.mapped import map_member
from limosa_compiler.errors import DataUnreadable
from limosa_compiler.limits import LIMITS


def read_array_files(path: Path) -> dict[str, Array]:
    """Raises DataUnreadable; OSError if the file cannot be opened."""
    try:
        if path.is_dir():
            files = sorted(path.glob("*.npy"))
            return {file.stem: np.asarray(np.load(file, mmap_mode="r", allow_pickle=False)) for file in files}
        return _read_npz(path)
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise DataUnreadable("data cannot be read", where=str(path), why=str(error)[:200]) from error


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
                result[name] = np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    return {name.removesuffix(".npy"): result[name] for name in sorted(result)}
