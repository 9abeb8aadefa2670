"""Rollouts, waves, executions, decisions; what each device shall run, and the documents that say so."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from limosa_server.tables.columns import blob_field, json_field, kept_field, with_default


class RolloutRow(SQLModel, table=True):
    """`spec` is a RolloutSpec as JSON; enums are stored by value."""

    __tablename__ = "rollouts"

    id: int | None = Field(default=None, primary_key=True)
    model: str = Field(index=True)
    version: str
    index_sha256: str = Field(index=True)
    target: str
    spec: dict[str, Any] = json_field()
    salt: str
    fingerprint: str
    status: str = Field(index=True)
    pause: str = ""
    reason: str
    since: float
    created_at: float
    created_by: str
    ended_at: float | None = None
    accepted_failures: int = 0
    stragglers: int = 0
    rollback_scope: str = "none"
    failed_wave: int | None = None
    idempotency_key: str | None = Field(default=None, unique=True)
    request_sha256: str = ""
    failing_since: float | None = None  # the controller could not advance it since then
    failing_reason: str = ""
    priority: int = with_default(0)
    started_at: float | None = None
    follows: bool = with_default(False)  # devices that join its group come in through the tail
    group_revision: int = with_default(-1)  # of its group, when that was last looked at
    settled: bool = with_default(False)  # the gates have passed; it only follows its group
    stopping: bool = with_default(False)  # in CANCELING: those at it may finish
    resume_at: float | None = None  # when a pause of its own making ends
    bytes_free_at: float = with_default(0.0)  # when its bytes per second allow the next offer
    accepted: dict[str, Any] = kept_field()  # kind of failure -> devices, in spite of which it was resumed
    lane: str = with_default("active")  # or "shadow": rollouts of two lanes take nothing from each other


class ApprovalRow(SQLModel, table=True):
    """What one person said to a rollout that waits for approval; the last word counts."""

    __tablename__ = "rollout_approvals"

    rollout: int = Field(primary_key=True, foreign_key="rollouts.id")
    actor: str = Field(primary_key=True)
    verdict: str  # approved | denied
    remark: str = ""
    at: float


class WaveRow(SQLModel, table=True):
    __tablename__ = "waves"

    rollout: int = Field(primary_key=True, foreign_key="rollouts.id")
    index: int = Field(primary_key=True)
    name: str
    bake_s: float
    pause_after: bool
    size: int
    tail: bool
    status: str
    since: float = 0.0
    reason: str = ""
    counts: dict[str, Any] = json_field()
    away: dict[str, Any] = kept_field()  # of the open ones: state -> devices that cannot be reached
    silent: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    way_back: dict[str, Any] = kept_field()  # where on the way back -> devices
    judge: str = with_default("criteria")  # criteria | compare
    why_counts: str = with_default("")  # why counts alone decide
    looks: int = with_default(0)  # that the comparison has taken
    extended: bool = with_default(False)  # its bake was doubled


class ExecutionRow(SQLModel, table=True):
    """One row per rollout and device, for ever (rollouts 3.6)."""

    __tablename__ = "executions"
    __table_args__ = (
        Index("executions_open", "rollout", "wave", "state", "away", "device"),
        Index("executions_due", "rollout", "due_at"),
        Index("executions_way_back", "rollout", "way_back"),
        Index("executions_offered", "rollout", "offered_at"),
    )

    rollout: int = Field(primary_key=True, foreign_key="rollouts.id")
    device: str = Field(primary_key=True, foreign_key="devices.id", index=True)
    wave: int
    state: str
    step: str
    reason: str = ""
    reason_code: str = ""
    since: float
    attempt: int = 1
    offered_at: float | None = None
    clock_from: float = 0.0
    away: bool = False
    from_version: str = ""
    from_index: str = ""
    committed: bool = False
    returning: str = Field(default="", sa_column_kwargs={"name": "way_back"})
    return_version: str = ""
    return_index: str = ""
    document_epoch: int = 0
    document_counter: int = 0
    size_bytes: int = with_default(0, big=True)  # of the variant that it fetches
    verify_from: float = with_default(0.0)
    silent: bool = with_default(False)
    not_before: float | None = None  # a further attempt waits until then
    failed_as: str = with_default("")  # how the attempt before it ended
    failed_under: dict[str, Any] = json_field(default="{}")
    due_at: float | None = None  # when the controller looks at it; None: nothing is left to look at


class DecisionRow(SQLModel, table=True):
    """What was decided, on which numbers, in which words (rollouts 5.6)."""

    __tablename__ = "decisions"

    id: int | None = Field(default=None, primary_key=True)
    rollout: int = Field(foreign_key="rollouts.id", index=True)
    wave: int | None = None
    at: float
    kind: str
    verdict: str
    sentence: str
    by: str
    inputs_sha256: str
    numbers: dict[str, Any] = json_field()


class AssignmentRow(SQLModel, table=True):
    """What one device shall run of one model; the desired document says it, signed."""

    __tablename__ = "assignments"

    device: str = Field(primary_key=True, foreign_key="devices.id")
    model: str = Field(primary_key=True)
    version: str
    index_sha256: str
    rollout: str = ""
    attempt: int = 1
    trial: dict[str, Any] = json_field()
    report_every_s: float = 300.0
    report_every_in_probation_s: float = 10.0
    windows: dict[str, Any] = json_field(default="{}")  # maintenance windows, {} for none
    updated_at: float


class DesiredDocument(SQLModel, table=True):
    """The newest signed document of a device: what MQTT retains and HTTPS serves (trust 4)."""

    __tablename__ = "desired_documents"

    device: str = Field(primary_key=True, foreign_key="devices.id")
    epoch: int
    counter: int
    envelope: bytes = blob_field()
    issued: float
    expires: float = Field(index=True)
    keyid: str = Field(default="", sa_column_kwargs={"server_default": ""})  # of the director's key
