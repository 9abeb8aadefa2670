"""What devices send up, and what is to be sent down to them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from limosa_server.tables.columns import blob_field, json_field, json_list, with_default


class InboxMark(SQLModel, table=True):
    """Everything of (device, session) up to `mark` is committed."""

    __tablename__ = "inbox_marks"

    device: str = Field(primary_key=True)
    session: int = Field(primary_key=True)
    mark: int
    updated_at: float


class EventRow(SQLModel, table=True):
    """One event of a device, once (its `key` is unique per device)."""

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("device", "key"),)

    id: int | None = Field(default=None, primary_key=True)
    device: str = Field(index=True)
    key: str
    kind: str
    model: str = Field(index=True)
    version: str
    rollout: str = Field(index=True)
    attempt: int
    phase: str
    reason_code: str
    reason: str
    at: float  # by the device's clock
    received_at: float = Field(index=True)
    body: str  # the whole event, JSON


class WindowRow(SQLModel, table=True):
    """One telemetry window; of two with one key the higher `rev` holds (telemetry 3.2)."""

    __tablename__ = "windows"
    __table_args__ = (
        UniqueConstraint("device", "boot", "window_index", "baseline", "model_digest"),
        Index("windows_by_time", "model", "started_at"),
    )

    id: int | None = Field(default=None, primary_key=True)
    device: str
    boot: str
    window_index: int
    baseline: str
    model_digest: str
    model: str
    version: str
    rev: int
    n: int  # inferences
    started_at: float  # by the device's clock
    length_s: float
    received_at: float = Field(index=True)
    counters: dict[str, Any] = json_field()
    body: bytes = blob_field()  # the report as it came
    latency: list[int] = json_list(default="[]")  # of the body, what waves are compared by
    classes: list[int] = json_list(default="[]")
    memory_bytes: int = with_default(0, big=True)  # 0 where the device does not say
    counted_rev: int = with_default(0)  # the revision that the tiers have; 0 before they have any


class RefusedReport(SQLModel, table=True):
    """Reports that were not taken, counted by device and reason."""

    __tablename__ = "refused_reports"

    device: str = Field(primary_key=True)
    code: str = Field(primary_key=True)
    count: int
    last_at: float
    sample: str  # what the last one was refused for


class OutboxRow(SQLModel, table=True):
    """A message to publish; deleted when the broker has acknowledged it."""

    __tablename__ = "outbox"
    __table_args__ = {"sqlite_autoincrement": True}  # ids never come twice: the publisher remembers the last

    id: int | None = Field(default=None, primary_key=True)
    topic: str
    payload: bytes = blob_field()
    retain: bool
    expiry_s: int | None = None
    created_at: float
    answer_to: str = Field(default="", sa_column_kwargs={"server_default": ""})  # response topic
    correlation: str = Field(default="", sa_column_kwargs={"server_default": ""})
