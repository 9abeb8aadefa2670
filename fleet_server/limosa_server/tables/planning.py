"""What the server remembers for the next plan: what was found bad where, and devices that are pinned."""

from __future__ import annotations

from typing import Any

from sqlmodel import Field, SQLModel

from limosa_server.tables.columns import json_list


class FindingRow(SQLModel, table=True):
    """What the failures of one rollout have in common (rollouts 3.9). Kept when the rollout is forgotten.

    `terms`: [[trait, value], …], empty where no part of the fleet stands out; then the release is taken
    as bad for `profiles`, where it failed. `bad`: it stands against the next plan of these bytes.
    """

    __tablename__ = "findings"

    rollout: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    model: str = Field(index=True)
    version: str
    index_sha256: str = Field(index=True)
    at: float
    failed: int
    executed: int
    terms: list[Any] = json_list()
    slice_failed: int = 0
    slice_executed: int = 0
    p: float = 1.0  # corrected for the slices looked at
    profiles: list[str] = json_list()
    reasons: list[Any] = json_list()  # [[reason code, devices], …], most first
    sentence: str
    bad: bool = False


class PinRow(SQLModel, table=True):
    """A device that no rollout of a model may touch (rollouts 6). `model` "" is every model."""

    __tablename__ = "pins"

    device: str = Field(primary_key=True, foreign_key="devices.id")
    model: str = Field(primary_key=True)
    reason: str
    since: float
    until: float | None = Field(default=None, index=True)  # None: until somebody unpins it
    by: str
