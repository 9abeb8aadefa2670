"""Column types that several tables use."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, LargeBinary
from sqlmodel import Field


def json_field() -> Any:
    """A JSON object. Replace it whole: changes inside it are not seen."""
    return Field(default_factory=dict, sa_type=JSON)


def kept_field() -> Any:
    """A JSON object of counters, {} in rows that were there before it."""
    return Field(
        default_factory=dict, sa_type=JSON, nullable=False, sa_column_kwargs={"server_default": "{}"}
    )


def json_list() -> Any:
    return Field(default_factory=list, sa_type=JSON)


def blob_field() -> Any:
    return Field(sa_type=LargeBinary)
