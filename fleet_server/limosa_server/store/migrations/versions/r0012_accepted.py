"""In spite of how many failures of each kind a rollout was resumed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


KINDS = ("failed", "timed_out", "rejected", "rolled_back", "silent")


def upgrade() -> None:
    op.add_column("rollouts", sa.Column("accepted", sa.JSON(), server_default="{}", nullable=False))
    _keep_what_was_accepted()


def _keep_what_was_accepted() -> None:
    """One number was held against every kind: a rollout that was resumed must not stop at the upgrade."""
    rollouts = sa.table("rollouts", sa.column("accepted_failures"), sa.column("accepted", sa.JSON()))
    number = rollouts.c.accepted_failures
    bind = op.get_bind()
    for count in bind.scalars(sa.select(number).where(number > 0).distinct()).all():
        kinds = dict.fromkeys(KINDS, count)
        bind.execute(rollouts.update().where(number == count).values(accepted=kinds))
