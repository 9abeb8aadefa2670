"""fleet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _devices()
    _groups()
    _commands()


def _devices() -> None:
    op.add_column("devices", sa.Column("ended_at", sa.Float(), nullable=True))
    op.add_column("devices", sa.Column("ended_reason", sa.String(), server_default="", nullable=False))
    op.create_index("device_labels_pair", "device_labels", ["key", "value"])
    op.create_table(
        "label_sources",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"]),
        sa.PrimaryKeyConstraint("device", "key", "source"),
    )
    op.execute(
        "INSERT INTO label_sources (device, key, source, value) "
        "SELECT device, key, source, value FROM device_labels"
    )


def _groups() -> None:
    op.add_column("groups", sa.Column("devices", sa.Integer(), server_default="0", nullable=False))
    op.execute(
        'UPDATE groups SET devices = (SELECT count(*) FROM memberships m WHERE m."group" = groups.name)'
    )
    op.create_index("memberships_since", "memberships", ["group", "since"])


def _commands() -> None:
    op.add_column("outbox", sa.Column("answer_to", sa.String(), server_default="", nullable=False))
    op.add_column("outbox", sa.Column("correlation", sa.String(), server_default="", nullable=False))
    op.create_table(
        "commands",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("cut", sa.Boolean(), nullable=False),
        sa.Column("answered_at", sa.Float(), nullable=True),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_commands_device", "commands", ["device"])
    op.create_index("ix_commands_created_at", "commands", ["created_at"])
