"""Tables: columns of a .csv or .parquet file as arrays [N], by name."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.data.array_files import require_file
from limosa_compiler.errors import DataUnreadable
from limosa_compiler.limits import LIMITS

SUFFIXES: Final = (".csv", ".parquet")
_INSTALL: Final = 'pip install "limosa[tabular]"'


def read_table(path: Path, *, texts: frozenset[str]) -> dict[str, Array]:
    """Numbers where every cell of a column is one; columns of `texts` stay as they are written.

    An empty cell is NaN. Raises DataUnreadable, naming the line.
    """
    require_file(path)
    return _read_parquet(path, texts) if path.suffix == ".parquet" else _read_csv(path, texts)


def _read_csv(path: Path, texts: frozenset[str]) -> dict[str, Array]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = _lines(csv.reader(stream, strict=True), path)
            header = next(lines, [])
            _check_header(header, path)
            columns: list[list[str]] = [[] for _ in header]
            for line in lines:
                for column, cell in zip(columns, line, strict=True):
                    column.append(cell)
    except UnicodeDecodeError as error:
        raise DataUnreadable(
            "the table is not UTF-8",
            where=str(path),
            why=f"byte {error.start}: {error.reason}",
            hint="save it as UTF-8",
        ) from error
    except csv.Error as error:
        raise DataUnreadable("the table cannot be read", where=str(path), why=str(error)[:200]) from error
    return {
        name: np.array(column, dtype=object) if name in texts else _typed(column)
        for name, column in zip(header, columns, strict=True)
    }


def _lines(reader: Iterator[list[str]], path: Path) -> Iterator[list[str]]:
    """Lines that are not empty; each must be as long as the first."""
    width = 0
    for number, line in enumerate(reader, 1):
        if not line:
            continue
        if number > LIMITS.table_rows_max:
            raise DataUnreadable(
                "the table is too long", where=str(path), why=f"more than {LIMITS.table_rows_max} rows"
            )
        width = width or len(line)
        if len(line) != width:
            raise DataUnreadable(
                f"row {number} has {len(line)} cells",
                where=str(path),
                why=f"the header names {width} columns",
            )
        yield line


def _check_header(header: Sequence[str], path: Path) -> None:
    if not header:
        raise DataUnreadable("the table is empty", where=str(path))
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice or "" in header:
        raise DataUnreadable(
            "the table's columns are not named once each",
            where=str(path),
            why=f"{twice[0][:120]!r} occurs twice" if twice else "a column has no name",
            hint="the first line names the columns",
        )


def _typed(column: Sequence[str]) -> Array:
    """int64, float64 (empty cells are NaN), or texts."""
    try:
        return np.array([int(cell) for cell in column], dtype=np.int64)
    except (ValueError, OverflowError):
        pass
    try:
        return np.array([float(cell) if cell.strip() else np.nan for cell in column], dtype=np.float64)
    except ValueError:
        return np.array(column, dtype=object)


def _read_parquet(path: Path, texts: frozenset[str]) -> dict[str, Array]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataUnreadable(
            "Parquet files need pyarrow", where=str(path), why="it is not installed", hint=_INSTALL
        ) from error
    try:
        table = parquet.read_table(path)
        _check_header(table.column_names, path)
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise DataUnreadable("the table cannot be read", where=str(path), why=str(error)[:200]) from error
    return {
        name: np.array([str(item) for item in column], dtype=object) if name in texts else np.asarray(column)
        for name, column in columns.items()
    }
