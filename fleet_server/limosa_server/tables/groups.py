"""Groups and who is in them. Membership is kept, and changes when labels do (rollouts 3.6)."""

from __future__ import annotations

from sqlalchemy import Index
from sqlmodel import Field, SQLModel


class Group(SQLModel, table=True):
    """`selector` "" is a static group: its members are added by name."""

    __tablename__ = "groups"

    name: str = Field(primary_key=True)
    selector: str = ""
    description: str = ""
    created_at: float
    created_by: str
    revision: int = 1  # its ETag
    devices: int = Field(default=0, sa_column_kwargs={"server_default": "0"})  # kept, not counted


class Membership(SQLModel, table=True):
    __tablename__ = "memberships"
    __table_args__ = (Index("memberships_since", "group", "since"),)

    group: str = Field(primary_key=True, foreign_key="groups.name")
    device: str = Field(primary_key=True, foreign_key="devices.id", index=True)
    since: float
