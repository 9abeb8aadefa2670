"""Where data comes from: files of arrays, tables, functions."""

from __future__ import annotations

from limosa_compiler.arrays import Array
from limosa_compiler.data.array_files import read_array_files
from limosa_compiler.data.functions import concatenated
from limosa_compiler.data.tables import SUFFIXES, read_table
from limosa_compiler.errors import DataUnreadable
from limosa_compiler.external.entry_point import EntryPoint
from limosa_compiler.limits import LIMITS
from limosa_compiler.recipe.data import DEFAULT_LABEL, Source


def read_arrays(
    source: Source, *, texts: frozenset[str] = frozenset(), label: str = DEFAULT_LABEL
) -> dict[str, Array]:
    """All arrays or columns, by name; those of `texts` are not read as numbers.

    Raises DataUnreadable, EntryPointFailed; OSError if a file cannot be opened.
    """
    if isinstance(source, EntryPoint):
        arrays = concatenated(source, label=label)
    elif source.suffix in SUFFIXES:
        arrays = read_table(source, texts=texts)
    else:
        arrays = read_array_files(source)
    if not arrays:
        raise DataUnreadable("data holds no arrays", where=str(source))
    for name, array in arrays.items():
        if array.nbytes > LIMITS.array_max_bytes:
            raise DataUnreadable(
                f"array {name!r} is too large", where=str(source), why=f"{array.nbytes} bytes"
            )
    return arrays
