"""Column types that several tables use."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, LargeBinary, false, true
from sqlmodel import Field


def json_field(*, default: str | None = None) -> Any:
    """A JSON object. Replace it whole: changes inside it are not seen.

    `default`: what rows have that were written before there was this column.
    """
    arguments = {} if default is None else {"server_default": default}
    return Field(default_factory=dict, sa_type=JSON, sa_column_kwargs=arguments)


def kept_field() -> Any:
    """A JSON object of counters, {} in rows that were there before it."""
    return Field(
        default_factory=dict, sa_type=JSON, nullable=False, sa_column_kwargs={"server_default": "{}"}
    )


def with_default(value: bool | int | float | str, *, big: bool = False) -> Any:
    """A column that came later: rows that were written before it have `value` too. `big`: 64 bits."""
    given = (true() if value else false()) if isinstance(value, bool) else str(value)
    if big:
        return Field(default=value, sa_type=BigInteger, sa_column_kwargs={"server_default": given})
    return Field(default=value, sa_column_kwargs={"server_default": given})


def json_list(*, default: str | None = None) -> Any:
    """A JSON list. `default`: what rows have that were written before there was this column."""
    arguments = {} if default is None else {"server_default": default}
    return Field(default_factory=list, sa_type=JSON, sa_column_kwargs=arguments)


def blob_field() -> Any:
    return Field(sa_type=LargeBinary)
