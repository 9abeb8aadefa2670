"""Looks at every rule's source in its own time, and writes down what changed (telemetry 6.3).

One idempotent step: findings are read outside of the transaction, alerts and the messages about them are
written in one. A process that dies in between has told nobody, and tells at the next step.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from limosa_server.alerts import alert_rows, deliveries
from limosa_server.alerts.other_sources import findings
from limosa_server.core.alerts.finding import Looked
from limosa_server.core.alerts.machine import Alert, State, Step, advance
from limosa_server.core.alerts.rules import AlertRule, Source
from limosa_server.state import ServerState
from limosa_server.store import Transaction

log = logging.getLogger(__name__)
EVERY_S: Final = 15.0
SLOW_S: Final = 600.0
SLOW: Final = frozenset({Source.DEVICE_CERTIFICATE, Source.EXPIRY})
"""They change by days, and reading them costs more."""
TOPIC: Final = "alerts"
ASKED: Final = "alerts asked"
"""Announced when rules or silences were set: the next look is now."""


@dataclass(slots=True)
class Evaluator:
    state: ServerState
    _looked_at: dict[str, float] = field(default_factory=dict)  # by rule name and revision
    _dropped_at: float = 0.0

    def step(self) -> Step:
        """Raises StoreBusy and such; the next step does it again."""
        now = self.state.clock()
        with self.state.store.read() as tx:
            revision, rules = alert_rows.rules_in_force(tx)
        looked = [self._look(rule, now) for rule in rules if self._due(rule, revision, now)]
        with self.state.store.transaction() as tx:
            if alert_rows.rules_in_force(tx)[0] != revision:
                return Step(changed=(), told=())  # set anew meanwhile: the next step looks by those
            step = advance(
                alert_rows.open_alerts(tx), looked, rules, alert_rows.silences(tx, now=now), now=now
            )
            ids: dict[str, int] = {}
            for alert in step.changed:
                ids[alert.fingerprint] = self._write(tx, alert)
            for event, alert in step.told:
                number = alert.id if alert.id is not None else ids[alert.fingerprint]
                deliveries.queue(tx, event.value, alert, number=number, url=self._url(), now=now)
            if step.changed:
                tx.announce(TOPIC)
            if now - self._dropped_at > SLOW_S:
                alert_rows.drop_old(tx, now=now)
                self._dropped_at = now
            firing = [one for one in alert_rows.open_alerts(tx) if one.state is State.FIRING]
        self._show(firing)
        for one in looked:
            if not one.failed:
                self._looked_at[f"{revision} {one.rule}"] = now
        return step

    def _write(self, tx: Transaction, alert: Alert) -> int:
        if alert.state is State.FIRING and alert.told_at is None:
            log.info("alert %s: %s", alert.rule, alert.finding.summary)
        return alert_rows.write(tx, alert)

    def _show(self, firing: Sequence[Alert]) -> None:
        gauge = self.state.metrics.alerts_firing
        gauge.clear()
        for (rule, severity), count in Counter((one.rule, one.severity.value) for one in firing).items():
            gauge.labels(rule=rule, severity=severity).set(count)

    def _due(self, rule: AlertRule, revision: int, now: float) -> bool:
        if not rule.enabled:
            return False
        last = self._looked_at.get(f"{revision} {rule.name}")
        return last is None or rule.source not in SLOW or now - last >= SLOW_S

    def _look(self, rule: AlertRule, now: float) -> Looked:
        try:
            return Looked(rule=rule.name, findings=tuple(findings(self.state, rule, now=now)))
        except Exception:  # recorded; one source that cannot be read must not hide the others
            log.exception("alert rule %s cannot be looked at", rule.name)
            return Looked(rule=rule.name, failed=True)

    def _url(self) -> str:
        return self.state.settings.public_url or self.state.endpoints.base_url
