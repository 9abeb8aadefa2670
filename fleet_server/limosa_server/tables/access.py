"""Tokens of people and devices, and the audit trail. No secret is stored, only its sha256."""

from __future__ import annotations

from typing import Any

from sqlmodel import Field, SQLModel

from limosa_server.tables.columns import json_field


class EnrollmentToken(SQLModel, table=True):
    """`lmt_<id>.<secret>`: lets one device in, once (trust 6.1)."""

    __tablename__ = "enrollment_tokens"

    id: str = Field(primary_key=True)
    secret_sha256: str
    created_at: float
    created_by: str
    expires_at: float
    used_at: float | None = None
    used_by: str = ""  # the device
    revoked_at: float | None = None
    device: str = ""  # the id the device will have; "" lets the server draw one
    serial: str = ""  # only a device with this serial number may use it; "" for any
    group: str = ""  # static group it joins
    labels: dict[str, Any] = json_field()


class ApiToken(SQLModel, table=True):
    """`lmp_<id>.<secret>` of a person or a program (trust 6.4). `team`, `group`: "" is not bound to one."""

    __tablename__ = "api_tokens"

    id: str = Field(primary_key=True)
    secret_sha256: str
    name: str
    role: str
    team: str = ""
    group: str = Field(default="", sa_column_kwargs={"server_default": ""})
    created_at: float
    created_by: str
    expires_at: float
    last_used_at: float | None = None
    revoked_at: float | None = None


class AssertionJti(SQLModel, table=True):
    """Assertions that were used, until they would be too old anyway."""

    __tablename__ = "assertion_jtis"

    device: str = Field(primary_key=True)
    jti: str = Field(primary_key=True)
    expires_at: float = Field(index=True)


class AuditRow(SQLModel, table=True):
    """Append-only and chained (trust 6.5). `before` and `after` are canonical JSON texts."""

    __tablename__ = "audit"

    seq: int | None = Field(default=None, primary_key=True)
    time: float
    actor: str
    action: str = Field(index=True)
    object: str = Field(index=True)
    before: str
    after: str
    prev_hash: str
    hash: str
