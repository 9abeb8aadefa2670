"""Who is compared with whom, and what a decision was made on (rollouts 5)."""

from __future__ import annotations

from sqlmodel import Field, SQLModel

from limosa_server.tables.columns import blob_field


class CohortRow(SQLModel, table=True):
    """One device in one arm of one wave; drawn when the rollout is made, and never again."""

    __tablename__ = "cohorts"

    rollout: int = Field(primary_key=True, foreign_key="rollouts.id")
    wave: int = Field(primary_key=True)
    device: str = Field(primary_key=True, foreign_key="devices.id")
    arm: str  # treated | control
    stratum: str


class DecisionInputs(SQLModel, table=True):
    """The bytes whose hash the decision holds, deflated: a replay decides on these (rollouts 5.6)."""

    __tablename__ = "decision_inputs"

    decision: int = Field(
        primary_key=True, foreign_key="decisions.id", sa_column_kwargs={"autoincrement": False}
    )
    body: bytes = blob_field()
