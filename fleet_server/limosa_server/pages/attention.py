"""What is wrong now, worst first: the part of the overview that a person who was woken up needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import exists, func
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from limosa_server.core.alerts.machine import State
from limosa_server.core.alerts.rules import Severity
from limosa_server.core.device_state import GONE, DeviceState
from limosa_server.core.rollout import RolloutStatus
from limosa_server.fleet.inventory import TROUBLE, unreachable
from limosa_server.pages.limits import LIMITS
from limosa_server.pages.render import path_part
from limosa_server.pages.times import span
from limosa_server.pages.words import Tone, sign
from limosa_server.store import Transaction
from limosa_server.tables.alerts import AlertRow
from limosa_server.tables.devices import Device, DeviceCertificate, DeviceModel
from limosa_server.tables.reports import OutboxRow, RefusedReport
from limosa_server.tables.rollouts import RolloutRow

_ENDED_BADLY: Final = (
    RolloutStatus.ROLLED_BACK.value,
    RolloutStatus.ROLLBACK_INCOMPLETE.value,
    RolloutStatus.FAILED.value,
    RolloutStatus.INVALID.value,
)
_STANDS: Final = (
    RolloutStatus.PAUSED.value,
    RolloutStatus.ROLLING_BACK.value,
    RolloutStatus.WAITING_FOR_APPROVAL.value,
)
REASONS_SHOWN: Final = 2
_ORDER: Final[tuple[Tone, ...]] = ("bad", "warn", "busy", "calm", "good")


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """One line: what, why, since when, and where to look."""

    tone: Tone
    mark: str
    what: str
    why: str
    link: str
    at: float | None = None


def concerns(tx: Transaction, *, broker_down_since: float | None = None, now: float) -> list[Concern]:
    found = [
        *_rollouts(tx, now),
        *_broker(tx, broker_down_since, now),
        *_fallen(tx),
        *_refused(tx, now),
        *_unreachable(tx, now),
        *_certificates(tx, now),
    ]
    return worst_first([*found, *_alerts(tx, told={one.link for one in found})])


def worst_first(found: list[Concern]) -> list[Concern]:
    return sorted(found, key=lambda one: _ORDER.index(one.tone))


def _rollouts(tx: Transaction, now: float) -> list[Concern]:
    rows = tx.exec(
        select(RolloutRow)
        .where(
            col(RolloutRow.status).in_(_STANDS)
            | (col(RolloutRow.status).in_(_ENDED_BADLY) & (col(RolloutRow.since) > now - LIMITS.recent_s))
            | col(RolloutRow.failing_since).is_not(None)
        )
        .order_by(col(RolloutRow.id).desc())
        .limit(LIMITS.rows_max)
    ).all()
    newest: dict[str, int | None] = dict(
        tx.exec(select(RolloutRow.model, func.max(RolloutRow.id)).group_by(col(RolloutRow.model))).all()
    )
    found = []
    for row in rows:
        if row.status in _ENDED_BADLY and newest.get(row.model) != row.id:
            continue  # somebody has started the next one: this is history
        shown = sign("rollout", row.status)
        stuck = bool(row.failing_reason)
        found.append(
            Concern(
                tone="bad" if stuck or row.pause == "gate_failed" else shown.tone,
                mark=shown.mark,
                what=f"Rollout {row.id} of {row.model}@{row.version} "
                + ("cannot be advanced" if stuck else f"is {shown.word}"),
                why=row.failing_reason or row.reason,
                link=f"/rollouts/{row.id}",
                at=row.failing_since if stuck else row.since,
            )
        )
    return found


def _broker(tx: Transaction, down_since: float | None, now: float) -> list[Concern]:
    late = now - LIMITS.outbox_late_s
    count, oldest = tx.exec(
        select(func.count(), func.min(OutboxRow.created_at)).where(col(OutboxRow.created_at) < late)
    ).one()
    down = down_since is not None and down_since < late
    if not count and not down:
        return []
    waits = f"{_so_many(count, 'message')} wait{'s' if count == 1 else ''} for the broker"
    return [
        Concern(
            tone="bad",
            mark="✘",
            what="The server does not reach the broker" if down else waits,
            why=("" if down else "It does not take them. ")
            + "Devices are not told what to run, and ask over HTTPS instead."
            + (f" {waits[0].upper()}{waits[1:]}." if down and count else ""),
            link="/alerts",
            at=down_since if down else oldest,
        )
    ]


def _fallen(tx: Transaction) -> list[Concern]:
    where = (col(DeviceModel.phase).in_(TROUBLE), Device.state == DeviceState.ACTIVE)
    of_device = col(Device.id) == col(DeviceModel.device)
    count = tx.exec(select(func.count()).select_from(DeviceModel).join(Device, of_device).where(*where)).one()
    if not count:
        return []
    first = func.min(DeviceModel.device)
    reasons = tx.exec(
        select(DeviceModel.reason)
        .join(Device, of_device)
        .where(*where, DeviceModel.reason != "")
        .group_by(DeviceModel.reason)
        .order_by(first, col(DeviceModel.reason))
        .limit(REASONS_SHOWN)
    ).all()
    named = () if reasons else tx.exec(
        select(DeviceModel.device)
        .join(Device, of_device)
        .where(*where)
        .order_by(col(DeviceModel.device))
        .limit(LIMITS.named_max + 1)
    ).all()  # fmt: skip
    return [
        Concern(
            tone="warn",
            mark="↩",
            what=f"{_so_many(count)} refused a release or went back from it",
            why="; ".join(reasons) or _named(named),
            link="/devices?state=trouble",
        )
    ]


def _refused(tx: Transaction, now: float) -> list[Concern]:
    rows = tx.exec(
        select(RefusedReport)
        .where(col(RefusedReport.last_at) > now - LIMITS.recent_s)
        .order_by(col(RefusedReport.last_at).desc())
        .limit(LIMITS.rows_max)
    ).all()
    return [
        Concern(
            tone="warn",
            mark="⊘",
            what=f"{_so_many(row.count, 'report')} of {row.device} refused ({row.code})",
            why=row.sample,
            link=f"/devices/{path_part(row.device)}",
            at=row.last_at,
        )
        for row in rows[: LIMITS.named_max]
    ]


def _unreachable(tx: Transaction, now: float) -> list[Concern]:
    where = (unreachable(now), Device.state == DeviceState.ACTIVE)
    last = func.coalesce(col(Device.last_seen), col(Device.enrolled_at))
    count, oldest = tx.exec(select(func.count(), func.min(last)).select_from(Device).where(*where)).one()
    if not count:
        return []
    named = tx.exec(select(Device.id).where(*where).order_by(last).limit(LIMITS.named_max + 1)).all()
    longest = f"; the longest silent one for {span(now - oldest)}" if count > 1 else ""
    return [
        Concern(
            tone="warn",
            mark="○",
            what=f"{_so_many(count)} cannot be reached",
            why=_named(named) + longest,
            link="/devices?state=unreachable",
            at=oldest if count == 1 else None,
        )
    ]


def _certificates(tx: Transaction, now: float) -> list[Concern]:
    soon = now + LIMITS.certificate_warn_s
    newest = func.max(DeviceCertificate.not_after)
    later = aliased(DeviceCertificate)
    renewed = exists().where(
        col(later.device) == col(DeviceCertificate.device),
        col(later.revoked_at).is_(None),
        col(later.not_after) >= soon,
    )
    rows = tx.exec(
        select(DeviceCertificate.device, newest)
        .join(Device, col(Device.id) == col(DeviceCertificate.device))
        # The few that end soon are found by the index on when they end; the whole fleet's are not grouped.
        .where(
            col(DeviceCertificate.not_after) < soon,
            col(DeviceCertificate.revoked_at).is_(None),
            # Not "= active": SQLite would begin with the index on that, which is the whole fleet.
            col(Device.state).not_in(GONE),
            ~renewed,
        )
        .group_by(col(DeviceCertificate.device))
        .order_by(newest)
        .limit(LIMITS.named_max)
    ).all()
    return [
        Concern(
            tone="bad" if not_after <= now else "warn",
            mark="◷",
            what=f"The certificate of {device} " + ("has expired" if not_after <= now else "expires soon"),
            why="It cannot connect until it has renewed it."
            if not_after <= now
            else "It should have renewed.",
            link=f"/devices/{path_part(device)}",
            at=not_after,
        )
        for device, not_after in rows
    ]


def _alerts(tx: Transaction, *, told: set[str]) -> list[Concern]:
    """One line for what fires, is not silenced, and stands in no other line: somebody is called for it."""
    rows = [
        row
        for row in tx.exec(
            select(AlertRow)
            .where(AlertRow.state == State.FIRING.value, col(AlertRow.silence).is_(None))
            .where(AlertRow.severity != Severity.INFO.value)
            .order_by(col(AlertRow.since).desc(), col(AlertRow.id).desc())
            .limit(LIMITS.rows_max)
        ).all()
        if row.link not in told
    ]
    if not rows:
        return []
    worst = max(rows, key=lambda row: Severity(row.severity).rank)
    return [
        Concern(
            tone="bad" if worst.severity == Severity.CRITICAL.value else "warn",
            mark="▲",
            what=f"{_so_many(len(rows), 'alert')} fire{'s' if len(rows) == 1 else ''}",
            why=worst.summary,
            link="/alerts",
            at=worst.since,
        )
    ]


def _so_many(count: int, what: str = "device") -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _named(devices: Sequence[str]) -> str:
    """The first names, and that there are more."""
    shown = ", ".join(devices[: LIMITS.named_max])
    return f"{shown}, …" if len(devices) > LIMITS.named_max else shown
