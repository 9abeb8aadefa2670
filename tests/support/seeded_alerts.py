"""Alerts of each kind and state, silences and webhooks, for the page that shows them."""

from __future__ import annotations

from limosa_server.store import Transaction
from limosa_server.tables.alerts import AlertRow, SilenceRow, WebhookRow

HOUR = 3600.0
WHY = "golden case 3 differs by 0.41, 0.001 is allowed"
ALERTS: tuple[tuple[str, str, str, str, dict[str, str]], ...] = (
    ("device-fell-back", "warning", "firing", "2 devices refused a release or went back from it",
     {"model": "demo/motion", "version": "4.0.0"}),
    ("rollout-failed", "critical", "firing", "rollout 12 of audio/kws@0.9.0 ended badly: 3 of 8 have failed",
     {"rollout": "12", "model": "audio/kws", "version": "0.9.0"}),
    ("device-silent", "warning", "firing", "6 devices said nothing for 24h (site lab)", {"site": "lab"}),
    ("device-disk", "warning", "pending", "1 device reported little room", {}),
    ("broker-down", "critical", "resolved", "the broker has taken no message for 4m", {"part": "broker"}),
)  # fmt: skip


def seed_alerts(tx: Transaction, *, now: float) -> None:
    quiet = SilenceRow(
        matcher="rule=device-silent,site=lab", reason="the lab moves until Friday", until=now + 20 * HOUR,
        created_at=now - HOUR, created_by="token o1 ana",
    )  # fmt: skip
    tx.add(quiet)
    tx.flush()
    for place, (rule, severity, state, summary, labels) in enumerate(ALERTS):
        about_devices = rule.startswith("device")
        tx.add(
            AlertRow(
                fingerprint=f"{place:032d}", rule=rule, severity=severity, state=state, labels=dict(labels),
                summary=summary, detail=WHY if place == 0 else "", count=2 if place == 0 else 6, capped=False,
                devices=["watch-0012", "pump-0003"] if about_devices else [],
                link="/devices?state=trouble" if about_devices else "/rollouts/12",
                since=now - HOUR * (place + 1), fired_at=now - HOUR, told_at=now - HOUR,
                resolved_at=now - HOUR / 2 if state == "resolved" else None,
                silence=quiet.id if rule == "device-silent" else None,
            )
        )  # fmt: skip
    tx.add(
        WebhookRow(
            name="on-call", url="https://hooks.example/x", severity="warning", matcher="", salt="s",
            created_at=now, created_by="token a1 admin", delivered_at=now - HOUR,
        )
    )  # fmt: skip
    tx.add(
        WebhookRow(
            name="chat", url="https://chat.example/y", severity="info", matcher="site=lab", salt="s",
            created_at=now, created_by="token a1 admin", failed_at=now - 60, failure="it answered 503",
        )
    )  # fmt: skip
