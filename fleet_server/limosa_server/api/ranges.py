"""One byte range of a blob (RFC 9110 section 14)."""

from __future__ import annotations

import re
from typing import Final

from limosa_server.errors import RangeNotSatisfiable

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """(first, last) byte, or None where the whole is to be sent. Raises RangeNotSatisfiable.

    >>> parse_range("bytes=5-", 10), parse_range("bytes=-3", 10), parse_range("bytes=2-99", 10)
    ((5, 9), (7, 9), (2, 9))
    >>> parse_range("", 10), parse_range("lines=1-2", 10)
    (None, None)
    """
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return None  # several ranges, or a unit that is not known: the whole is a valid answer
    first_text, last_text = match.groups()
    if not first_text:
        first, last = max(0, size - int(last_text)), size - 1
    else:
        first = int(first_text)
        last = min(int(last_text), size - 1) if last_text else size - 1
    if first > last or first >= size:
        raise RangeNotSatisfiable("not within the blob", where="Range", why=f"it has {size} bytes")
    return first, last
