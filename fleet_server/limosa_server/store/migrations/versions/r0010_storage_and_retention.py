"""Tiers of telemetry, and what is kept how long."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("windows", sa.Column("counted_rev", sa.Integer(), server_default="0", nullable=False))
    op.drop_index("ix_windows_model", table_name="windows")
    op.create_index("windows_by_time", "windows", ["model", "started_at"])
    op.create_table(
        "device_days",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("model_digest", sa.String(), nullable=False),
        sa.Column("baseline", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        *_sums(),
        sa.PrimaryKeyConstraint("device", "day", "model_digest", "baseline"),
    )
    op.create_index("ix_device_days_day", "device_days", ["day"])
    op.create_table(
        "cohort_hours",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("model_digest", sa.String(), nullable=False),
        sa.Column("baseline", sa.String(), nullable=False),
        *_sums(),
        sa.PrimaryKeyConstraint("model", "hour", "model_digest", "baseline"),
    )
    op.create_table(
        "retention_marks",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("removed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "event_quotas",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("dropped", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("device"),
    )


def _sums() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("windows", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("length_s", sa.Float(), nullable=False),
        sa.Column("counters", sa.JSON(), nullable=False),
        sa.Column("sketch", sa.LargeBinary(), nullable=False),
    )
