"""The tiers that outlive raw windows, and how far the work on them has come (server 2.4)."""

from __future__ import annotations

from typing import Any

from sqlmodel import Field, SQLModel

from limosa_server.tables.columns import blob_field, json_field


class DeviceDay(SQLModel, table=True):
    """What one device's windows of one artifact add up to in one day (UTC)."""

    __tablename__ = "device_days"

    device: str = Field(primary_key=True)
    day: int = Field(primary_key=True, index=True)  # days since 1970-01-01
    model_digest: str = Field(primary_key=True)
    baseline: str = Field(primary_key=True)
    model: str
    version: str
    windows: int
    n: int  # inferences
    length_s: float
    counters: dict[str, Any] = json_field()
    sketch: bytes = blob_field()  # packed as in a window (limosa_contracts.window.pack)


class CohortHour(SQLModel, table=True):
    """What all devices' windows of one artifact add up to in one hour (UTC); kept for ever."""

    __tablename__ = "cohort_hours"

    model: str = Field(primary_key=True)
    hour: int = Field(primary_key=True)  # hours since 1970-01-01
    model_digest: str = Field(primary_key=True)
    baseline: str = Field(primary_key=True)
    version: str
    windows: int
    n: int
    length_s: float
    counters: dict[str, Any] = json_field()
    sketch: bytes = blob_field()


class RetentionMark(SQLModel, table=True):
    """How far a work has come: `at` (Unix seconds) and, of rows of that time, `row`."""

    __tablename__ = "retention_marks"

    name: str = Field(primary_key=True)
    at: float
    row: int
    removed: int  # rows that were removed so far


class EventQuota(SQLModel, table=True):
    """How many reports of progress one device has sent on its newest day."""

    __tablename__ = "event_quotas"

    device: str = Field(primary_key=True)
    day: int
    count: int
    dropped: int  # ever
