"""An alert's life: pending, firing, resolved; told once per change, not while silenced (telemetry 6.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from limosa_contracts.selector import Selector
from limosa_server.core.alerts.finding import Finding, Looked, fingerprint
from limosa_server.core.alerts.rules import AlertRule, Severity


class State(Enum):
    PENDING = "pending"
    """Found, but not for long enough."""
    FIRING = "firing"
    """It holds; webhooks are told unless it is silenced."""
    RESOLVED = "resolved"
    """No longer found, or its rule is gone. If it comes back, that is a new alert."""


class Event(Enum):
    """What webhooks are told."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """`told_at`: when webhooks were last told that it fires, None for never or not since it was resolved."""

    fingerprint: str
    rule: str
    severity: Severity
    state: State
    labels: Mapping[str, str]
    finding: Finding
    since: float
    fired_at: float | None = None
    resolved_at: float | None = None
    told_at: float | None = None
    silence: int | None = None
    id: int | None = None

    @property
    def matched(self) -> dict[str, str]:
        """The labels that silences and webhooks choose by."""
        return {**self.labels, "rule": self.rule, "severity": self.severity.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Keeps alerts quiet whose labels match, until then. They are still shown."""

    id: int
    matcher: Selector
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one look changed: alerts to write, and whom to tell of what."""

    changed: tuple[Alert, ...]
    told: tuple[tuple[Event, Alert], ...]


def advance(
    alerts: Sequence[Alert],
    looked: Sequence[Looked],
    rules: Sequence[AlertRule],
    silences: Sequence[Silence],
    *,
    now: float,
) -> Step:
    """`alerts`: those that are not resolved. A rule that was not looked at this time keeps its alerts as
    they are; one that is gone resolves them."""
    by_name = {rule.name: rule for rule in rules if rule.enabled}
    open_alerts = {alert.fingerprint: alert for alert in alerts}
    seen: dict[str, Alert] = {}
    untouched = {rule.name for rule in rules if rule.enabled} - {one.rule for one in looked if not one.failed}
    for one in looked:
        rule = by_name.get(one.rule)
        for finding in () if rule is None or one.failed else one.findings:
            assert rule is not None
            alert = _found(rule, finding, open_alerts, now=now)
            seen[alert.fingerprint] = alert
    for print_, alert in open_alerts.items():
        if print_ not in seen:
            gone = alert.rule not in untouched
            seen[print_] = _over(alert, now=now) if gone else alert
    changed: list[Alert] = []
    told: list[tuple[Event, Alert]] = []
    for print_ in sorted(seen):
        after, event = _tell(seen[print_], by_name, silences, now=now)
        if event is not None:
            told.append((event, after))
        if after != open_alerts.get(print_):
            changed.append(after)
    return Step(changed=tuple(changed), told=tuple(told))


def _found(rule: AlertRule, finding: Finding, known: Mapping[str, Alert], *, now: float) -> Alert:
    print_ = fingerprint(rule.name, finding.labels)
    before = known.get(print_)
    alert = before or Alert(
        fingerprint=print_,
        rule=rule.name,
        severity=rule.severity,
        state=State.PENDING,
        labels=dict(finding.labels),
        finding=finding,
        since=now,
    )
    alert = replace(alert, finding=finding, severity=finding.severity or rule.severity)
    if alert.state is State.PENDING and now - alert.since >= rule.for_s:
        return replace(alert, state=State.FIRING, fired_at=now)
    return alert


def _over(alert: Alert, *, now: float) -> Alert:
    return replace(alert, state=State.RESOLVED, resolved_at=now)


def _tell(
    alert: Alert, rules: Mapping[str, AlertRule], silences: Sequence[Silence], *, now: float
) -> tuple[Alert, Event | None]:
    """Told when it fires (or a silence over it ends), again each `repeat`; of its end only who was told."""
    silence = next(
        (one.id for one in silences if now < one.until and one.matcher.matches(alert.matched)), None
    )
    alert = replace(alert, silence=silence)
    if alert.state is State.RESOLVED:
        return replace(alert, silence=None), Event.RESOLVED if alert.told_at is not None else None
    if alert.state is not State.FIRING or silence is not None:
        return alert, None
    rule = rules.get(alert.rule)
    repeat_s = rule.repeat_s if rule is not None else float("inf")
    if alert.told_at is None or now - alert.told_at >= repeat_s:
        return replace(alert, told_at=now), Event.FIRING
    return alert, None
