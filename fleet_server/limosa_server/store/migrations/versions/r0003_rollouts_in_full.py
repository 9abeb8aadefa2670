"""rollouts in full."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rollout_approvals",
        sa.Column("rollout", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("remark", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"]),
        sa.PrimaryKeyConstraint("rollout", "actor"),
    )
    op.create_table(
        "device_habits",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("observed_to", sa.Float(), nullable=False),
        sa.Column("spans_s", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"]),
        sa.PrimaryKeyConstraint("device"),
    )
    for table, column in _columns():
        op.add_column(table, column)
    op.execute("UPDATE executions SET silent = away WHERE step IN ('activating', 'probation')")


def _columns() -> list[tuple[str, sa.Column[object]]]:
    return [
        ("rollouts", sa.Column("priority", sa.Integer(), nullable=False, server_default="0")),
        ("rollouts", sa.Column("started_at", sa.Float(), nullable=True)),
        ("rollouts", sa.Column("follows", sa.Boolean(), nullable=False, server_default=sa.false())),
        ("rollouts", sa.Column("group_revision", sa.Integer(), nullable=False, server_default="-1")),
        ("rollouts", sa.Column("settled", sa.Boolean(), nullable=False, server_default=sa.false())),
        ("rollouts", sa.Column("stopping", sa.Boolean(), nullable=False, server_default=sa.false())),
        ("rollouts", sa.Column("resume_at", sa.Float(), nullable=True)),
        ("rollouts", sa.Column("bytes_free_at", sa.Float(), nullable=False, server_default="0.0")),
        ("executions", sa.Column("size_bytes", sa.BigInteger(), nullable=False, server_default="0")),
        ("executions", sa.Column("verify_from", sa.Float(), nullable=False, server_default="0.0")),
        ("executions", sa.Column("silent", sa.Boolean(), nullable=False, server_default=sa.false())),
        ("executions", sa.Column("not_before", sa.Float(), nullable=True)),
        ("executions", sa.Column("failed_as", sa.String(), nullable=False, server_default="")),
        ("executions", sa.Column("failed_under", sa.JSON(), nullable=False, server_default="{}")),
        ("assignments", sa.Column("windows", sa.JSON(), nullable=False, server_default="{}")),
    ]
