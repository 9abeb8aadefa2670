"""Between the tables of alerts and the core's values, explicitly (server 2.1)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete
from sqlmodel import col, select

from limosa_contracts.selector import Selector
from limosa_server.core.alerts.finding import Finding
from limosa_server.core.alerts.machine import Alert, Silence, State
from limosa_server.core.alerts.rules import DEFAULT_RULES, AlertRule, Severity, parse_rules, rules_json
from limosa_server.store import Transaction
from limosa_server.tables.alerts import AlertRow, AlertRulesRow, SilenceRow

OPEN: Final = (State.PENDING.value, State.FIRING.value)
RULES_ID: Final = 1
KEPT_S: Final = 30 * 86400.0  # resolved alerts, and silences that ended


def open_alerts(tx: Transaction) -> list[Alert]:
    """Those that are not resolved, by id."""
    rows = tx.exec(select(AlertRow).where(col(AlertRow.state).in_(OPEN)).order_by(col(AlertRow.id)))
    return [alert_of(row) for row in rows]


def alert_of(row: AlertRow) -> Alert:
    return Alert(
        id=row.id,
        fingerprint=row.fingerprint,
        rule=row.rule,
        severity=Severity(row.severity),
        state=State(row.state),
        labels={key: str(value) for key, value in row.labels.items()},
        finding=Finding(
            labels={key: str(value) for key, value in row.labels.items()},
            summary=row.summary,
            detail=row.detail,
            count=row.count,
            capped=row.capped,
            devices=tuple(row.devices),
            link=row.link,
        ),
        since=row.since,
        fired_at=row.fired_at,
        resolved_at=row.resolved_at,
        told_at=row.told_at,
        silence=row.silence,
    )


def write(tx: Transaction, alert: Alert) -> int:
    """Its id."""
    found = tx.get(AlertRow, alert.id) if alert.id is not None else None
    row = found or AlertRow(
        fingerprint=alert.fingerprint, rule=alert.rule, severity="", state="", summary="", detail="",
        count=0, capped=False, link="", since=alert.since, labels=dict(alert.labels),
    )  # fmt: skip
    row.severity, row.state = alert.severity.value, alert.state.value
    row.summary, row.detail, row.link = alert.finding.summary, alert.finding.detail, alert.finding.link
    row.count, row.capped = alert.finding.count, alert.finding.capped
    row.devices = list(alert.finding.devices)
    row.fired_at, row.resolved_at = alert.fired_at, alert.resolved_at
    row.told_at, row.silence = alert.told_at, alert.silence
    tx.add(row)
    tx.flush()
    assert row.id is not None
    return row.id


def silences(tx: Transaction, *, now: float) -> list[Silence]:
    """Those in force."""
    rows = tx.exec(select(SilenceRow).where(SilenceRow.until > now).order_by(col(SilenceRow.id)))
    return [
        Silence(id=row.id, matcher=Selector.parse(row.matcher, where="silence"), until=row.until)
        for row in rows
        if row.id is not None
    ]


def rules_in_force(tx: Transaction) -> tuple[int, tuple[AlertRule, ...]]:
    """(revision, rules); revision 0 are those that come with the server."""
    row = tx.get(AlertRulesRow, RULES_ID)
    if row is None:
        return 0, DEFAULT_RULES
    return row.revision, parse_rules(row.rules)


def set_rules(tx: Transaction, rules: tuple[AlertRule, ...], *, at: float, by: str) -> int:
    """The new revision."""
    row = tx.get(AlertRulesRow, RULES_ID) or AlertRulesRow(
        id=RULES_ID, revision=0, updated_at=at, updated_by=by
    )
    row.rules, row.revision = dict(rules_json(rules)), row.revision + 1
    row.updated_at, row.updated_by = at, by
    tx.add(row)
    tx.flush()
    return row.revision


def drop_old(tx: Transaction, *, now: float) -> None:
    tx.execute(delete(AlertRow).where(col(AlertRow.resolved_at) < now - KEPT_S))
    tx.execute(delete(SilenceRow).where(col(SilenceRow.until) < now - KEPT_S))
