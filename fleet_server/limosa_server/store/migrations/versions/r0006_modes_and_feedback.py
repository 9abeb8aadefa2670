"""modes and feedback."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

WINDOW_KEY = ("device", "boot", "window_index", "model_digest")


def upgrade() -> None:
    op.add_column("rollouts", sa.Column("lane", sa.String(), server_default="active", nullable=False))
    _assignments()
    _arms()
    _shadow_windows()
    _kpi_windows()
    _kept_counts()


def _kept_counts() -> None:
    op.create_table(
        "shadow_counts",
        sa.Column("rollout", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("compared", sa.BigInteger(), nullable=False),
        sa.Column("disagreed", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"]),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"]),
        sa.PrimaryKeyConstraint("rollout", "device"),
    )
    op.create_table(
        "arm_kpis",
        sa.Column("rollout", sa.Integer(), nullable=False),
        sa.Column("kpi", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        *_sums(),
        sa.ForeignKeyConstraint(["device"], ["devices.id"]),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"]),
        sa.PrimaryKeyConstraint("rollout", "kpi", "device"),
    )
    op.create_table(
        "device_kpis",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("kpi", sa.String(), nullable=False),
        *_sums(),
        sa.PrimaryKeyConstraint("device", "model", "version", "kpi"),
    )


def _sums() -> list[sa.Column[object]]:
    return [
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Float(), nullable=False),
        sa.Column("squares", sa.Float(), nullable=False),
    ]


def _assignments() -> None:
    op.create_table(
        "shadow_assignments",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("index_sha256", sa.String(), nullable=False),
        sa.Column("rollout", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("report_every_s", sa.Float(), nullable=False),
        sa.Column("report_every_in_probation_s", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"]),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"]),
        sa.PrimaryKeyConstraint("device", "model"),
    )
    op.create_index(op.f("ix_shadow_assignments_rollout"), "shadow_assignments", ["rollout"])


def _arms() -> None:
    op.create_table(
        "arms",
        sa.Column("rollout", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("stratum", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"]),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"]),
        sa.PrimaryKeyConstraint("rollout", "device"),
    )
    op.create_index(op.f("ix_arms_device"), "arms", ["device"])


def _window_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("boot", sa.String(), nullable=False),
        sa.Column("window_index", sa.BigInteger(), nullable=False),
        sa.Column("model_digest", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
    ]


def _shadow_windows() -> None:
    op.create_table(
        "shadow_windows",
        *_window_columns(),
        sa.Column("compared", sa.BigInteger(), nullable=False),
        sa.Column("disagreed", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.Column("sketch", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint(*WINDOW_KEY),
    )
    op.create_index("shadow_windows_of", "shadow_windows", ["model", "version", "received_at"])
    op.create_index(op.f("ix_shadow_windows_received_at"), "shadow_windows", ["received_at"])


def _kpi_windows() -> None:
    op.create_table(
        "kpi_windows",
        *_window_columns(),
        sa.Column("kpi", sa.String(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Float(), nullable=False),
        sa.Column("squares", sa.Float(), nullable=False),
        sa.Column("bins", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint(*WINDOW_KEY, "kpi"),
    )
    op.create_index(op.f("ix_kpi_windows_received_at"), "kpi_windows", ["received_at"])
