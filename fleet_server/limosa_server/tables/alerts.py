"""Alerts, silences and webhooks, and what waits to be delivered (telemetry 6.3)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from limosa_server.tables.columns import blob_field, json_field, json_list


class AlertRow(SQLModel, table=True):
    """`state`: pending | firing | resolved. Of one `fingerprint` at most one row is not resolved."""

    __tablename__ = "alerts"

    id: int | None = Field(default=None, primary_key=True)
    fingerprint: str = Field(index=True)
    rule: str
    severity: str
    state: str = Field(index=True)
    labels: dict[str, Any] = json_field()
    summary: str
    detail: str
    count: int
    capped: bool
    devices: list[str] = json_list()  # the first few
    link: str
    since: float
    fired_at: float | None = None
    resolved_at: float | None = Field(default=None, index=True)
    told_at: float | None = None  # the webhooks were last told that it fires
    silence: int | None = None  # the silence that keeps it quiet


class SilenceRow(SQLModel, table=True):
    """`matcher` is a selector over an alert's labels."""

    __tablename__ = "silences"

    id: int | None = Field(default=None, primary_key=True)
    matcher: str
    reason: str
    until: float = Field(index=True)
    created_at: float
    created_by: str


class AlertRulesRow(SQLModel, table=True):
    """The rules in force; without a row, those that come with the server."""

    __tablename__ = "alert_rules"

    id: int = Field(primary_key=True)  # always 1
    rules: dict[str, Any] = json_field()
    revision: int
    updated_at: float
    updated_by: str


class WebhookRow(SQLModel, table=True):
    """Its secret is not stored: it follows from a key beside the database, and `salt`."""

    __tablename__ = "webhooks"

    name: str = Field(primary_key=True)
    url: str
    severity: str  # the least that it is told
    matcher: str  # "" for every alert
    salt: str
    created_at: float
    created_by: str
    delivered_at: float | None = None
    failed_at: float | None = None
    failure: str = ""


class DeliveryRow(SQLModel, table=True):
    """One message that a webhook has not taken yet; deleted when it has."""

    __tablename__ = "deliveries"
    __table_args__ = (Index("deliveries_due", "next_at"),)

    id: int | None = Field(default=None, primary_key=True)
    message: str  # its id: the same at each attempt
    webhook: str = Field(foreign_key="webhooks.name", index=True)
    alert: int
    event: str  # firing | resolved | test
    body: bytes = blob_field()
    created_at: float
    attempts: int
    next_at: float | None  # None: given up
    failure: str = ""


class DeviceTrouble(SQLModel, table=True):
    """What is wrong with a device, noted where it reports it. `kind`: see `core/alerts/troubles.py`."""

    __tablename__ = "device_troubles"
    __table_args__ = (Index("device_troubles_kind", "kind", "since"),)

    device: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    model: str = Field(primary_key=True)  # "" for the device itself
    version: str
    since: float
    cause: str
    detail: str
