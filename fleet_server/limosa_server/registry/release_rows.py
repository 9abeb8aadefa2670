"""Releases by name, and the steps of their lives as they are written down."""

from __future__ import annotations

from sqlmodel import col, select

from limosa_contracts.errors import NotFound
from limosa_contracts.names import ReleaseName
from limosa_server.core.errors import ReleaseRetracted
from limosa_server.store import Transaction
from limosa_server.tables.lifecycle import ReleaseStep
from limosa_server.tables.releases import Release


def find(tx: Transaction, name: ReleaseName) -> Release:
    """Raises NotFound."""
    row = tx.exec(
        select(Release).where(Release.model == str(name.name), Release.version == name.version)
    ).first()
    if row is None:
        raise NotFound(f"the server has no release {name}", hint="limosa release list")
    return row


def name_of(row: Release) -> str:
    return f"{row.model}@{row.version}"


def offerable(row: Release) -> bool:
    """Whether anybody may be offered it."""
    return row.retracted_at is None and not row.delisted and row.collected_at is None


def check_offerable(row: Release, *, where: str) -> None:
    """Raises ReleaseRetracted for what nobody is to be offered: retracted, delisted or without its bytes."""
    if row.retracted_at is not None:
        raise ReleaseRetracted(
            f"{name_of(row)} was retracted",
            where=where,
            why=f"by {row.retracted_by}: {row.retract_reason}",
        )
    if not offerable(row):
        raise ReleaseRetracted(
            f"{name_of(row)} cannot be installed any more",
            where=where,
            why="its team does not list it" if row.delisted else "its bytes were collected",
            hint="the team publishes it again: limosa publish",
        )


def note(tx: Transaction, row: Release, what: str, *, at: float, by: str, reason: str) -> None:
    """One step of its life; append-only."""
    assert row.id is not None
    tx.add(ReleaseStep(release_id=row.id, at=at, what=what, by=by, reason=reason))


def steps(tx: Transaction, row: Release) -> list[ReleaseStep]:
    """The oldest first."""
    query = select(ReleaseStep).where(ReleaseStep.release_id == row.id).order_by(col(ReleaseStep.id))
    return list(tx.exec(query))
