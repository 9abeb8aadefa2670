"""Tables as CSV (RFC 4180) that a spreadsheet may open: no cell begins as a formula. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from limosa_contracts.errors import InvalidField, TooLarge

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes a spreadsheet reckon with a cell instead of showing it (OWASP, CSV Injection)."""
QUOTE: Final = "'"
CELL_MAX_CHARS: Final = 1024
COLUMNS_MAX: Final = 128
ROWS_MAX: Final = 5_000  # of one file: reports wait while they are written; the command sends parts
BYTES_MAX: Final = 16 * 1024 * 1024


def shown(cell: str) -> str:
    """As it is written.

    >>> shown("=1+1"), shown("'quoted"), shown("dev-1")
    ("'=1+1", "''quoted", 'dev-1')
    """
    return QUOTE + cell if cell.startswith((*FORMULA, QUOTE)) else cell


def meant(cell: str) -> str:
    """What `shown` wrote.

    >>> meant("'=1+1"), meant("dev-1")
    ('=1+1', 'dev-1')
    """
    return cell[1:] if cell.startswith(QUOTE) else cell


def written(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines with their ends."""
    for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow([shown(cell) for cell in row])
        yield line.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row below the headings: its number in the file, the first is 2, and its cells by heading."""

    number: int
    cells: dict[str, str]


def parse(data: bytes) -> tuple[list[str], list[Line]]:
    """(headings, rows); empty rows are left out. Comma, semicolon or tab, whichever the headings have.

    Raises InvalidField with the row, TooLarge.
    """
    if len(data) > BYTES_MAX:
        raise TooLarge("the file is too large", where="csv", why=f"at most {BYTES_MAX} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidField("the file is not UTF-8", where="csv", why=f"byte {error.start}") from error
    if "\0" in text:
        raise InvalidField("the file holds a NUL", where="csv")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        headings = [meant(cell.strip()) for cell in next(reader, [])]
        _check(headings)
        return headings, [
            Line(number=number, cells=_row(row, headings, number))
            for number, row in enumerate(_few(reader), start=2)
            if any(cell.strip() for cell in row)
        ]
    except csv.Error as error:
        raise InvalidField("the file is not CSV", where=f"line {reader.line_num}", why=str(error)) from error


def _delimiter(text: str) -> str:
    first = text.partition("\n")[0]
    return max(",;\t", key=first.count)


def _check(headings: Sequence[str]) -> None:
    if not headings or len(headings) > COLUMNS_MAX:
        raise InvalidField("the headings are missing", where="row 1", why=f"1 to {COLUMNS_MAX} are needed")
    twice = sorted({one for one in headings if headings.count(one) > 1})
    if twice:
        raise InvalidField(f"the heading {twice[0][:80]!r} is there twice", where="row 1")


def _few(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    for number, row in enumerate(reader, start=1):
        if number > ROWS_MAX:
            raise TooLarge("the file has too many rows", where="csv", why=f"at most {ROWS_MAX}")
        yield row


def _row(row: Sequence[str], headings: Sequence[str], number: int) -> dict[str, str]:
    if len(row) != len(headings):
        raise InvalidField(
            f"{len(row)} cells", where=f"row {number}", why=f"the headings are {len(headings)}"
        )
    for heading, cell in zip(headings, row, strict=True):
        if len(cell) > CELL_MAX_CHARS:
            why = f"at most {CELL_MAX_CHARS} characters"
            raise InvalidField("a cell is too long", where=f"row {number}, {heading[:80]}", why=why)
    return {heading: meant(cell.strip()) for heading, cell in zip(headings, row, strict=True)}
