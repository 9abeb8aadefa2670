"""The first schema."""

from __future__ import annotations

from alembic import op
from sqlmodel import SQLModel

import limosa_server.tables  # noqa: F401  # fills the metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    SQLModel.metadata.create_all(op.get_bind())
