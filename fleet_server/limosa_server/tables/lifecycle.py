"""How far each release has come, who runs it, and what a stage asks of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from limosa_server.tables.columns import json_list


class ReleaseDevice(SQLModel, table=True):
    """What a device was last counted as running; the counts below are moved from here (rollouts 3.6)."""

    __tablename__ = "release_devices"
    __table_args__ = (Index("release_devices_index", "index_sha256", "device"),)

    device: str = Field(primary_key=True)
    model: str = Field(primary_key=True)
    index_sha256: str
    version: str
    since: float


class ReleaseCount(SQLModel, table=True):
    """Active devices that report a release running: kept, not counted."""

    __tablename__ = "release_counts"

    index_sha256: str = Field(primary_key=True)
    model: str = Field(index=True)
    version: str
    devices: int


class ReleaseStep(SQLModel, table=True):
    """`what`: production | staging | archived | retracted | collected | imported; the record stays."""

    __tablename__ = "release_steps"

    id: int | None = Field(default=None, primary_key=True)
    release_id: int = Field(foreign_key="releases.id", index=True)
    at: float
    what: str
    by: str
    reason: str


class PromotionGateRow(SQLModel, table=True):
    """What a release of this scope must show before production. `scope`: "*", a team, or team/model."""

    __tablename__ = "promotion_gates"

    scope: str = Field(primary_key=True)
    rules: list[Any] = json_list()
    updated_at: float
    updated_by: str
