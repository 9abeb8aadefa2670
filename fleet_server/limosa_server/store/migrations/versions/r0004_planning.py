"""Memory for plans; counters and due times, so that a tick reads what changed and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OPEN = ("QUEUED", "NOTIFIED", "IN_PROGRESS")
SILENT_STEPS = ("activating", "probation")


def upgrade() -> None:
    op.create_table(
        "findings",
        sa.Column("rollout", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("index_sha256", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("executed", sa.Integer(), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("slice_failed", sa.Integer(), nullable=False),
        sa.Column("slice_executed", sa.Integer(), nullable=False),
        sa.Column("p", sa.Float(), nullable=False),
        sa.Column("profiles", sa.JSON(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("sentence", sa.String(), nullable=False),
        sa.Column("bad", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("rollout"),
    )
    op.create_index("ix_findings_model", "findings", ["model"])
    op.create_index("ix_findings_index_sha256", "findings", ["index_sha256"])
    op.create_table(
        "pins",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("until", sa.Float(), nullable=True),
        sa.Column("by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"]),
        sa.PrimaryKeyConstraint("device", "model"),
    )
    op.create_index("ix_pins_until", "pins", ["until"])
    op.add_column("waves", sa.Column("away", sa.JSON(), server_default="{}", nullable=False))
    op.add_column("waves", sa.Column("silent", sa.Integer(), server_default="0", nullable=False))
    op.add_column("waves", sa.Column("way_back", sa.JSON(), server_default="{}", nullable=False))
    op.add_column("executions", sa.Column("due_at", sa.Float(), nullable=True))
    op.drop_index("executions_open", table_name="executions")
    op.create_index("executions_open", "executions", ["rollout", "wave", "state", "away", "device"])
    op.create_index("executions_due", "executions", ["rollout", "due_at"])
    op.create_index("executions_way_back", "executions", ["rollout", "way_back"])
    _count_once()


def _count_once() -> None:
    """What is kept from now on is counted for the rollouts that there are; the open ones are due at once."""
    connection = op.get_bind()
    runs = sa.table(
        "executions",
        *(sa.column(name) for name in ("rollout", "wave", "state", "step", "away", "way_back", "due_at")),
    )
    waves = sa.table(
        "waves",
        *(sa.column(name) for name in ("rollout", "index", "silent")),
        sa.column("away", sa.JSON()),
        sa.column("way_back", sa.JSON()),
    )
    is_open = runs.c.state.in_(OPEN)
    connection.execute(runs.update().where(is_open | (runs.c.way_back == "sent")).values(due_at=0.0))
    columns = (runs.c.rollout, runs.c.wave, runs.c.state, runs.c.step, runs.c.away, runs.c.way_back)
    kept: dict[tuple[int, int], dict[str, Any]] = {}
    for rollout, wave, state, step, away, way_back, count in connection.execute(
        sa.select(*columns, sa.func.count()).group_by(*columns)
    ).all():
        found = kept.setdefault((rollout, wave), {"away": Counter(), "way_back": Counter(), "silent": 0})
        if away and state in OPEN:
            found["away"][state] += count
            found["silent"] += count if step in SILENT_STEPS else 0
        if way_back:
            found["way_back"][way_back] += count
    for (rollout, wave), found in sorted(kept.items()):
        values = {name: json.loads(json.dumps(value, sort_keys=True)) for name, value in found.items()}
        connection.execute(
            waves.update().where(waves.c.rollout == rollout, waves.c.index == wave).values(**values)
        )
