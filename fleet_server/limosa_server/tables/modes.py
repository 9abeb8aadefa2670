"""What runs in the shadow, who is in which arm of a comparison, and what their windows said (rollouts 6)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Index
from sqlmodel import Field, SQLModel

from limosa_server.tables.columns import json_field


class ShadowAssignmentRow(SQLModel, table=True):
    """What one device shall run of one model beside the version that answers.

    A table of its own: whatever reads AssignmentRow asks what a device answers with.
    """

    __tablename__ = "shadow_assignments"

    device: str = Field(primary_key=True, foreign_key="devices.id")
    model: str = Field(primary_key=True)
    version: str
    index_sha256: str
    rollout: int = Field(foreign_key="rollouts.id", index=True)
    attempt: int = 1
    report_every_s: float = 300.0
    report_every_in_probation_s: float = 10.0
    updated_at: float


class ArmRow(SQLModel, table=True):
    """One device in a comparison: arm "a" keeps what it runs, "b" gets the release."""

    __tablename__ = "arms"

    rollout: int = Field(primary_key=True, foreign_key="rollouts.id")
    device: str = Field(primary_key=True, foreign_key="devices.id", index=True)
    arm: str
    stratum: str
    version: str  # that it ran when it was drawn
    before: dict[str, Any] = json_field()  # KPI -> [values, their sum] of that version until it was drawn


class ShadowCountRow(SQLModel, table=True):
    """Rows that one device has compared for one rollout: kept, not counted (rollouts 3.6)."""

    __tablename__ = "shadow_counts"

    rollout: int = Field(primary_key=True, foreign_key="rollouts.id")
    device: str = Field(primary_key=True, foreign_key="devices.id")
    compared: int = Field(sa_type=BigInteger)
    disagreed: int = Field(sa_type=BigInteger)
    dropped: int = Field(sa_type=BigInteger)


class ArmKpiRow(SQLModel, table=True):
    """What one device said of a KPI while both releases were held and it ran that of its arm."""

    __tablename__ = "arm_kpis"

    rollout: int = Field(primary_key=True, foreign_key="rollouts.id")
    kpi: str = Field(primary_key=True)
    device: str = Field(primary_key=True, foreign_key="devices.id")
    n: int = Field(sa_type=BigInteger)
    total: float
    squares: float


class DeviceKpiRow(SQLModel, table=True):
    """What one device ever said of a KPI with one version."""

    __tablename__ = "device_kpis"

    device: str = Field(primary_key=True)
    model: str = Field(primary_key=True)
    version: str = Field(primary_key=True)
    kpi: str = Field(primary_key=True)
    n: int = Field(sa_type=BigInteger)
    total: float
    squares: float


class ShadowWindowRow(SQLModel, table=True):
    """Of one window of a challenger: rows compared, and that disagree; the higher `rev` holds."""

    __tablename__ = "shadow_windows"
    __table_args__ = (Index("shadow_windows_of", "model", "version", "received_at"),)

    device: str = Field(primary_key=True)
    boot: str = Field(primary_key=True)
    window_index: int = Field(primary_key=True, sa_type=BigInteger)
    model_digest: str = Field(primary_key=True)
    model: str
    version: str
    rev: int = Field(sa_type=BigInteger)
    compared: int = Field(sa_type=BigInteger)
    disagreed: int = Field(sa_type=BigInteger)
    dropped: int = Field(sa_type=BigInteger)
    sketch: dict[str, Any] = json_field()
    """Of a window that belongs to a rollout: its number as "rollout", and a ShadowSketch where there are
    classes. Else {}: nobody's."""
    received_at: float = Field(index=True)


class KpiWindowRow(SQLModel, table=True):
    """Of one window: how many values of a KPI there were, their sum and the sum of their squares.

    `bins` of the KPI "accuracy": labelled and correct per bin of confidence.
    """

    __tablename__ = "kpi_windows"

    device: str = Field(primary_key=True)
    boot: str = Field(primary_key=True)
    window_index: int = Field(primary_key=True, sa_type=BigInteger)
    model_digest: str = Field(primary_key=True)
    kpi: str = Field(primary_key=True)
    model: str
    version: str
    rev: int = Field(sa_type=BigInteger)
    n: int = Field(sa_type=BigInteger)
    total: float
    squares: float
    bins: dict[str, Any] = json_field()
    received_at: float = Field(index=True)
