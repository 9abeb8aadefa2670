"""What `limosa rollout status` says of a rollout that did not end well: the cause, and where to read on."""

from __future__ import annotations

import pytest

from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_server.cli.device_cells import runs
from limosa_server.cli.ladder import ladder

CAUSE = "1 of 1 executed devices failed (wave canary)"


def rollout(status: str, reason: str, **more: JsonValue) -> JsonObject:
    wave: JsonObject = {
        "name": "canary",
        "tail": False,
        "status": "FAILED",
        "reason": CAUSE,
        "devices": 1,
        "executed": 1,
        "counts": {"ROLLED_BACK": 1},
    }
    return {
        "id": 3,
        "release": "demo/motion@4.0.0",
        "target": "wrists",
        "status": status,
        "reason": reason,
        "waves": [wave],
        **more,
    }


def test_a_rollout_that_went_back_tells_the_cause_and_where_the_reasons_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    end = f"{CAUSE}; every device runs the version it had before"
    shown = ladder(rollout("ROLLED_BACK", end)).splitlines()
    assert shown[1].endswith(end)
    assert sum(CAUSE in line for line in shown) == 1
    assert shown[-1] == "why: limosa rollout explain 3"


def test_a_cause_is_not_told_twice() -> None:
    assert ladder(rollout("FAILED", CAUSE)).count(CAUSE) == 1


def test_one_device_that_is_away_is_one_device() -> None:
    shown = ladder(rollout("RUNNING", "", unreachable=1, stragglers=2))
    assert "  1 device: out of reach now" in shown
    assert "  2 devices: to follow on coming back" in shown
    assert "why:" not in shown


def test_a_device_whose_last_update_came_to_nothing_is_not_said_to_run_what_was_rejected() -> None:
    def said(phase: str) -> str:
        return runs({"models": [{"model": "demo/motion", "active": "2.0.0", "phase": phase}]})

    assert said("COMMITTED") == "demo/motion@2.0.0 COMMITTED"
    assert said("REJECTED") == "demo/motion@2.0.0 last update REJECTED"
    assert said("FELL_BACK") == "demo/motion@2.0.0 last update FELL_BACK"
