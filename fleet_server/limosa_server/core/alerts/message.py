"""What a webhook is sent about an alert: `limosa.alert/1`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.json_value import JsonValue
from limosa_server.core.alerts.machine import Alert

SCHEMA: Final = "limosa.alert/1"


def encode(event: str, body: Mapping[str, JsonValue], *, at: float) -> bytes:
    """`event`: firing | resolved | test; `at`: when it was written, Unix seconds."""
    return encode_canonical({**body, "schema": SCHEMA, "event": event, "at": at})


def about(alert: Alert, *, number: int, url: str) -> dict[str, JsonValue]:
    """`url`: of the server, without a trailing slash."""
    return {
        "alert": {
            "id": number,
            "fingerprint": alert.fingerprint,
            "rule": alert.rule,
            "severity": alert.severity.value,
            "state": alert.state.value,
            "labels": dict(alert.labels),
            "summary": alert.finding.summary,
            "detail": alert.finding.detail,
            "count": alert.finding.count,
            "more": alert.finding.capped,
            "devices": list(alert.finding.devices),
            "since": alert.since,
            "fired_at": alert.fired_at,
            "resolved_at": alert.resolved_at,
            "url": f"{url}{alert.finding.link}",
        }
    }
