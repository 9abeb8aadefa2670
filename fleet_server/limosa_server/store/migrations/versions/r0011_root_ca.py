"""Which root CA a device has, as it says itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("devices", sa.Column("root_sha256", sa.String(), server_default="", nullable=False))
    op.add_column("devices", sa.Column("root_said_at", sa.Float(), nullable=True))
