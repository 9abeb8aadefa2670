"""Signed heads of the audit trail, the keys that were in use, and what waits for a second person."""

from __future__ import annotations

from sqlmodel import Field, SQLModel


class AuditHeadRow(SQLModel, table=True):
    """A head as the audit key signed it (trust 6.5); `envelope` is what devices are sent."""

    __tablename__ = "audit_heads"

    seq: int = Field(primary_key=True)
    hash: str
    at: float
    envelope: str


class TrustItem(SQLModel, table=True):
    """A key or certificate of the trust folder as it was last seen: a change is noted in the audit."""

    __tablename__ = "trust_items"

    name: str = Field(primary_key=True)  # "director", "root", "device CA"
    fingerprint: str  # key id, or digest of the file
    public_pem: str = ""  # of keys whose former signatures are still checked
    since: float


class SecondPersonAsk(SQLModel, table=True):
    """An action that somebody has begun and somebody else must begin too (two-person rule)."""

    __tablename__ = "second_person_asks"

    id: str = Field(primary_key=True)
    action: str
    object: str
    detail_sha256: str
    asked_by: str  # id of the token
    asked_name: str
    asked_at: float
    expires_at: float = Field(index=True)
    done_by: str = ""
    done_at: float | None = None
