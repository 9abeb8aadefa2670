"""Receivers were written against this message: it keeps its fields."""

from __future__ import annotations

from limosa_server.core.alerts.finding import Finding, fingerprint
from limosa_server.core.alerts.machine import Alert, State
from limosa_server.core.alerts.message import about, encode
from limosa_server.core.alerts.rules import Severity
from tests.support.golden import golden_bytes


def test_the_message_is_as_it_was_agreed() -> None:
    labels = {"model": "audio/kws", "version": "0.9.0"}
    alert = Alert(
        fingerprint=fingerprint("device-fell-back", labels),
        rule="device-fell-back",
        severity=Severity.WARNING,
        state=State.FIRING,
        labels=labels,
        finding=Finding(
            labels=labels,
            summary="2 devices refused a release or went back from it (model audio/kws, version 0.9.0)",
            detail="golden case 3 differs by 0.41",
            count=2,
            devices=("dev-0003", "dev-0012"),
            link="/devices?state=trouble",
        ),
        since=1777860000.0,
        fired_at=1777860000.5,
    )
    body = about(alert, number=3, url="https://fleet.example:8443")
    assert encode("firing", body, at=1777860001.0) == golden_bytes("alert-1")
