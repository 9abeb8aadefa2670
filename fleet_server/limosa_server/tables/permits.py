"""Downgrade permits, as teams signed them (trust 2.4)."""

from __future__ import annotations

from sqlmodel import Field, SQLModel

from limosa_server.tables.columns import blob_field


class Permit(SQLModel, table=True):
    """One step back of one model; `envelope` is what a device verifies."""

    __tablename__ = "permits"

    model: str = Field(primary_key=True)  # team/model
    from_version: str = Field(primary_key=True)
    to_version: str = Field(primary_key=True)
    envelope: bytes = blob_field()
    added_at: float
    added_by: str
