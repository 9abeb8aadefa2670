"""Findings about rollouts, releases, and the server itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import func
from sqlmodel import col, select

from limosa_contracts.duration import about_duration
from limosa_server.alerts.device_sources import NAMED_MAX, device_findings
from limosa_server.core.alerts.finding import Finding
from limosa_server.core.alerts.rules import DEVICE_SOURCES, AlertRule, Severity, Source
from limosa_server.core.rollout import RolloutStatus
from limosa_server.core.wording import devices as so_many
from limosa_server.registry import release_rows, running
from limosa_server.rollouts.waiting import standing_still
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.releases import Release
from limosa_server.tables.reports import OutboxRow
from limosa_server.tables.rollouts import RolloutRow
from limosa_server.trust.expiries import Severity as Urgency
from limosa_server.trust.expiries import expiries, pressing

_S = RolloutStatus
_STANDS: Final = (_S.PAUSED.value, _S.WAITING_FOR_APPROVAL.value)
_BAD_ENDS: Final = (_S.FAILED.value, _S.ROLLED_BACK.value, _S.ROLLBACK_INCOMPLETE.value, _S.INVALID.value)
_BY_HAND: Final = ("manual", "outside_window", "budget")  # nobody needs to be told of these


def findings(state: ServerState, rule: AlertRule, *, now: float) -> list[Finding]:
    """What one rule's source finds now. Raises what reading does."""
    if rule.source in DEVICE_SOURCES:
        with state.store.read() as tx:
            return device_findings(tx, rule, now=now)
    if rule.source is Source.BROKER_DOWN:
        return _broker(state, rule, now)
    if rule.source in _IN_THE_DATABASE:
        with state.store.read() as tx:
            return _IN_THE_DATABASE[rule.source](tx, rule, now)
    return _expiries(state, now) if rule.source is Source.EXPIRY else _storage(state, rule)


def _paused(tx: Transaction, rule: AlertRule, now: float) -> list[Finding]:
    rows = tx.exec(
        select(RolloutRow)
        .where(col(RolloutRow.status).in_(_STANDS), col(RolloutRow.pause).not_in(_BY_HAND))
        .order_by(col(RolloutRow.id))
    )
    return [_rollout(row, f"stands: {row.reason}") for row in rows]


def _failed(tx: Transaction, rule: AlertRule, now: float) -> list[Finding]:
    rows = tx.exec(
        select(RolloutRow)
        .where(col(RolloutRow.status).in_(_BAD_ENDS), RolloutRow.since > now - rule.after_s)
        .order_by(col(RolloutRow.id))
    )
    return [_rollout(row, f"ended badly: {row.reason}") for row in rows]


def _waiting(tx: Transaction, rule: AlertRule, now: float) -> list[Finding]:
    """rollouts 2: a state that is not terminal and lasts too long raises an alert."""
    return [_rollout(row, words) for row, words in standing_still(tx, now=now)]


def _rollout(row: RolloutRow, words: str) -> Finding:
    labels = {"rollout": str(row.id), "model": row.model, "version": row.version}
    return Finding(
        labels=labels,
        summary=f"rollout {row.id} of {row.model}@{row.version} {words}"[:500],
        detail=row.target,
        link=f"/rollouts/{row.id}",
    )


def _broker(state: ServerState, rule: AlertRule, now: float) -> list[Finding]:
    """Out of reach, or there and taking nothing: messages that wait are seen in the database."""
    with state.store.read() as tx:
        oldest = tx.exec(select(OutboxRow.created_at).order_by(col(OutboxRow.id)).limit(1)).first()
        waiting = tx.exec(select(func.count()).select_from(OutboxRow)).one() if oldest is not None else 0
    down = state.broker.down_since()
    if down is not None and now - down > rule.after_s:
        summary = f"the server has not reached the broker for {about_duration(now - down)}"
    elif oldest is not None and now - oldest > rule.after_s:
        summary = f"the broker has taken no message for {about_duration(now - oldest)}"
    else:
        return []
    detail = "devices are not told what to run; they ask and report over HTTPS instead"
    return [
        Finding(
            labels={"part": "broker"},
            summary=summary,
            detail=f"{detail}; {waiting:,} messages wait" if waiting else detail,
            link="/",
        )
    ]


def _retracted(tx: Transaction, rule: AlertRule, now: float) -> list[Finding]:
    rows = tx.exec(select(Release).where(col(Release.retracted_at).is_not(None))).all()
    counted = running.counts(tx, [row.index_sha256 for row in rows])
    found = []
    for row in rows:
        count = counted.get(row.index_sha256, 0)
        if count < rule.min_count:
            continue
        found.append(
            Finding(
                labels={"model": row.model, "version": row.version},
                summary=f"{release_rows.name_of(row)} was retracted, still on {so_many(count)}",
                detail=row.retract_reason,
                count=count,
                devices=tuple(running.devices_running(tx, row.index_sha256, limit=NAMED_MAX)),
                link=f"/devices?version={row.model}@{row.version}",
            )
        )
    return found


def _expiries(state: ServerState, now: float) -> list[Finding]:
    found = []
    for one in pressing(expiries(state, now)):
        left = one.left_s(now)
        when = f"ends in {about_duration(left)}" if left > 0 else f"ended {about_duration(-left)} ago"
        found.append(
            Finding(
                labels={"what": one.what, "name": one.name},
                summary=f"{one.what} {one.name}".strip() + f" {when}",
                detail=f"{one.consequence}; {one.remedy}",
                link="/",
                severity=Severity.WARNING if one.severity is Urgency.WARNING else Severity.CRITICAL,
            )
        )
    return found


def _storage(state: ServerState, rule: AlertRule) -> list[Finding]:
    usage = shutil.disk_usage(state.settings.data)
    free = usage.free / usage.total if usage.total else 1.0
    if free >= rule.share:
        return []
    return [
        Finding(
            labels={"part": "storage"},
            summary=f"{free:.1%} of the disk under the server's data is free",
            detail=f"{usage.free:,} bytes; below {rule.share:.0%}. What does not fit is refused, "
            "and what is stored stays",
            link="/",
        )
    ]


_IN_THE_DATABASE: Final[Mapping[Source, Callable[[Transaction, AlertRule, float], list[Finding]]]] = {
    Source.ROLLOUT_PAUSED: _paused,
    Source.ROLLOUT_FAILED: _failed,
    Source.ROLLOUT_WAITING: _waiting,
    Source.RELEASE_RETRACTED: _retracted,
}
