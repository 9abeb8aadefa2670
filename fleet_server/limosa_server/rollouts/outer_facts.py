"""What a rollout depends on beside its devices: people, its release, its group, the clock on the wall."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlmodel import col, select

from limosa_contracts.maintenance_window import DEVICE_ZONE, MaintenanceWindows
from limosa_server.core.approval import Vote
from limosa_server.core.errors import ReleaseRetracted
from limosa_server.core.rollout import Rollout, RolloutStatus
from limosa_server.registry.release_rows import check_offerable
from limosa_server.rollouts.taking_over import WAITING, held
from limosa_server.store import Transaction
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import ApprovalRow


@dataclass(frozen=True, slots=True, kw_only=True)
class OuterFacts:
    """As `core.facts.Facts` takes them."""

    obstacle: str = ""
    approvals: tuple[Vote, ...] = ()
    held: dict[str, int] = field(default_factory=dict)
    opens_at: float | None = None


def outer_facts(tx: Transaction, rollout: Rollout, release: Release | None, *, now: float) -> OuterFacts:
    """Reads only what matters in the rollout's state."""
    if rollout.status in WAITING:
        return OuterFacts(
            obstacle=_obstacle(release),
            approvals=votes(tx, rollout.id),
            held=held(tx, rollout, model=str(rollout.spec.release.name)),
            opens_at=opens_at(rollout.spec.schedule.windows, now),
        )
    if rollout.status in (RolloutStatus.RUNNING, RolloutStatus.PAUSED):
        return OuterFacts(opens_at=opens_at(rollout.spec.schedule.windows, now))
    return OuterFacts()


def votes(tx: Transaction, rollout: int) -> tuple[Vote, ...]:
    """What people said, in the order in which they said it."""
    rows = tx.exec(
        select(ApprovalRow)
        .where(ApprovalRow.rollout == rollout)
        .order_by(col(ApprovalRow.at), col(ApprovalRow.actor))
    ).all()
    return tuple(
        Vote(actor=row.actor, approves=row.verdict == "approved", remark=row.remark, at=row.at)
        for row in rows
    )


def _obstacle(release: Release | None) -> str:
    if release is None:
        return "its release is not on this server any more"
    try:
        check_offerable(release, where="rollout.release")
    except ReleaseRetracted as error:
        return str(error)
    return ""


def opens_at(windows: MaintenanceWindows | None, now: float) -> float | None:
    """When the next window opens, Unix seconds, where none is open now and devices may not even download.

    None where they may, and where a window is by the device's own zone: only the device can tell that.
    """
    if windows is None or windows.download_outside:
        return None
    if any(window.tz == DEVICE_ZONE for window in windows.windows) or windows.is_open(now, zone_of):
        return None
    return windows.next_start(now, zone_of)


@lru_cache(maxsize=256)
def zone_of(name: str) -> tzinfo | None:
    """The time zone of a name in this machine's database; None where it does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
