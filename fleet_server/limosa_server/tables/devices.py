"""Devices: who they are, what they may do, what they last said of themselves."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from limosa_server.core.device_state import DeviceState
from limosa_server.tables.columns import json_field, json_list


class Device(SQLModel, table=True):
    """One row per device for ever. `state`: a DeviceState. `online` is informational.

    A revoked device keeps its groups and what it shall run; a decommissioned one has neither."""

    __tablename__ = "devices"

    id: str = Field(primary_key=True)
    serial: str = ""
    state: str = Field(default=DeviceState.ACTIVE, index=True)
    enrolled_at: float
    profile: str = ""
    agent: str = ""  # its version
    boot: str = ""
    clock: str = "none"
    desired_epoch: int = 0  # (epoch, counter) of the desired state it last accepted
    desired_counter: int = 0
    capabilities: dict[str, Any] = json_field()
    resources: dict[str, Any] = json_field()
    reported_at: float | None = None
    last_seen: float | None = Field(default=None, index=True)
    online: bool = False
    presence_session: int = 0
    ended_at: float | None = None  # when it was revoked or decommissioned
    ended_reason: str = Field(default="", sa_column_kwargs={"server_default": ""})
    root_sha256: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """Of the newest root CA that it is known to trust (trust 1.2)."""
    root_said_at: float | None = None  # when it said so itself; older agents never do


class DeviceLabel(SQLModel, table=True):
    """The label that holds, and whose it is. Of one key the operator's goes before the token's, and that
    before the device's own."""

    __tablename__ = "device_labels"
    __table_args__ = (Index("device_labels_pair", "key", "value"),)

    device: str = Field(primary_key=True, foreign_key="devices.id")
    key: str = Field(primary_key=True)
    value: str = Field(index=True)
    source: str = "operator"


class LabelSource(SQLModel, table=True):
    """What each source says; what is covered by a higher one comes back when that is taken away.

    `source`: operator | token | device."""

    __tablename__ = "label_sources"

    device: str = Field(primary_key=True, foreign_key="devices.id")
    key: str = Field(primary_key=True)
    source: str = Field(primary_key=True)
    value: str


class DeviceModel(SQLModel, table=True):
    """What one device last reported of one model; versions are "" where there is none.

    `phase` is a `limosa_contracts.phases.Phase` value; `*_index` and `*_manifest` are 64 hex digits.
    """

    __tablename__ = "device_models"

    device: str = Field(primary_key=True, foreign_key="devices.id")
    model: str = Field(primary_key=True)
    phase: str
    active_version: str = Field(default="", index=True)
    active_index: str = ""
    active_manifest: str = ""
    active_variant: str = ""
    previous_version: str = ""
    candidate_version: str = ""
    candidate_index: str = ""
    rollout: str = ""
    attempt: int = 1
    reason: str = ""
    quarantined: list[str] = json_list()  # manifest or index digests it will not run again
    updated_at: float


class DeviceCertificate(SQLModel, table=True):
    """Certificates that the device CA issued; any that is not revoked may have signed a report."""

    __tablename__ = "device_certificates"

    fingerprint: str = Field(primary_key=True)  # sha256 of the DER, 64 hex digits
    device: str = Field(foreign_key="devices.id", index=True)
    serial_number: str
    pem: str
    not_after: float = Field(index=True)
    issued_at: float
    revoked_at: float | None = None
