"""In spite of how many failures of each kind a rollout was resumed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rollouts", sa.Column("accepted", sa.JSON(), server_default="{}", nullable=False))
