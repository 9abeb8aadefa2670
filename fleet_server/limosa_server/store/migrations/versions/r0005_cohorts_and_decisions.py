"""Cohorts, what decisions were made on, and what of a window is compared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cohorts",
        sa.Column("rollout", sa.Integer(), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("stratum", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"]),
        sa.ForeignKeyConstraint(["device"], ["devices.id"]),
        sa.PrimaryKeyConstraint("rollout", "wave", "device"),
    )
    op.create_table(
        "decision_inputs",
        sa.Column("decision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["decision"], ["decisions.id"]),
        sa.PrimaryKeyConstraint("decision"),
    )
    op.add_column("waves", sa.Column("judge", sa.String(), server_default="criteria", nullable=False))
    op.add_column("waves", sa.Column("why_counts", sa.String(), server_default="", nullable=False))
    op.add_column("waves", sa.Column("looks", sa.Integer(), server_default="0", nullable=False))
    op.add_column("waves", sa.Column("extended", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("windows", sa.Column("latency", sa.JSON(), server_default="[]", nullable=False))
    op.add_column("windows", sa.Column("classes", sa.JSON(), server_default="[]", nullable=False))
    op.add_column("windows", sa.Column("memory_bytes", sa.BigInteger(), server_default="0", nullable=False))
