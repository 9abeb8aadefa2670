"""Cursor pages: `?limit=…&cursor=…` in, `{"items": […], "next": cursor or null}` out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

from limosa_contracts.errors import InvalidField
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS

T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=LIMITS.page_size_max)]
Cursor = Annotated[str, Query(max_length=512)]


def page(
    rows: Sequence[T], *, limit: int, key: Callable[[T], str], shape: Callable[[T], JsonValue]
) -> dict[str, JsonValue]:
    """Give it up to `limit + 1` rows, sorted by `key`: the surplus one says that there is more."""
    shown = rows[:limit]
    more = len(rows) > limit
    return {"items": [shape(row) for row in shown], "next": encode_cursor(key(shown[-1])) if more else None}


def encode_cursor(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> str:
    """The key after which the page begins; "" is the beginning. Raises InvalidField."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidField("not a cursor of this server", where="cursor") from error
