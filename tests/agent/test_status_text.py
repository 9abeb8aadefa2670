"""What an operator reads at 3 a.m.: marks first, what is wrong in words, the models below (agent 6.3)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from limosa_agent.commands.status_text import status_text
from limosa_contracts.json_value import JsonValue

NOW = 1_800_000_000.0
GOLDEN = Path(__file__).parent / "golden"

WELL: Mapping[str, JsonValue] = {
    "safe_mode": None, "device": "dev-1", "agent": "1.0.0", "started_at": NOW - 200_000,
    "listen": "127.0.0.1:8080",
    "mqtt": "up", "mqtt_for_s": 7300.0, "mqtt_why": "", "reports_unheard": False,
    "desired": {"epoch": 1, "counter": 9, "expires_at": NOW + 2e6, "expired": False}, "refused_desired": {},
    "outbox": {"rows": 0, "bytes": 0, "max_bytes": 16 << 20, "full_of_verdicts": False},
    "certificate_expires_at": NOW + 1e6, "clock": "ntp", "disk_free_bytes": 5 << 30,
    "holds": [], "locks": [], "generation": 4, "workers": [17], "requests_lost": 0, "rss_bytes": 1,
    "models": [
        {"model": "demo/motion", "phase": "COMMITTED", "serving": "1.0.0", "wanted": "1.0.0", "rollout": "r1",
         "reason": "", "message": ""},
        {"model": "demo/sound", "phase": "PROBATION", "serving": "2.1.0", "wanted": "2.1.0", "rollout": "r7",
         "reason": "", "message": ""},
    ],
}  # fmt: skip
BAD_NIGHT: Mapping[str, JsonValue] = {
    **WELL,
    "mqtt": "down", "mqtt_for_s": 754.0, "mqtt_why": "[Errno 111] Connection refused", "clock": "none",
    "desired": {"epoch": 1, "counter": 9, "expires_at": NOW - 5000, "expired": True},
    "refused_desired": {"LM-512": 3}, "disk_free_bytes": 20 << 20, "requests_lost": 2,
    "certificate_expires_at": NOW - 60, "failing": ["demo/motion: error_rate", "probe camera"],
    "outbox": {"rows": 812, "bytes": 15 << 20, "max_bytes": 16 << 20, "full_of_verdicts": False},
    "holds": [{"scope": "*", "reason": "moving the robot", "until": None}],
    "models": [
        {"model": "demo/motion", "phase": "FELL_BACK", "serving": "1.0.0", "wanted": "2.0.0", "rollout": "r3",
         "reason": "worker_crashed", "message": "the serving worker ended: SIGSEGV\x1b[2J"},
        {"model": "demo/sound", "phase": "IDLE", "serving": None, "wanted": "2.1.0", "rollout": "r7",
         "reason": "release_broken", "message": "files of a release on this disk have changed"},
    ],
}  # fmt: skip
ONLY_SERVING: Mapping[str, JsonValue] = {
    "safe_mode": {
        "code": "LM-507", "message": "the state database has version 9 (this agent knows 2)",
        "hint": "install the newer agent again",
    },
    "agent": "1.0.0", "started_at": NOW - 30, "listen": "127.0.0.1:8080", "generation": 1, "workers": [17],
    "requests_lost": 0, "rss_bytes": 1, "models": [{"model": "demo/motion", "serving": "1.0.0"}],
}  # fmt: skip
NEW: Mapping[str, JsonValue] = {
    **WELL,
    "desired": {"epoch": 0, "counter": 0, "expires_at": None, "expired": False},
    "certificate_expires_at": None,
    "models": [],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [("well", WELL), ("bad_night", BAD_NIGHT), ("only_serving", ONLY_SERVING), ("new", NEW)],
)
def test_status_reads_as_it_was_written_down(name: str, value: Mapping[str, JsonValue]) -> None:
    text = click.unstyle(status_text(value, now=NOW)) + "\n"
    assert text == (GOLDEN / f"status_{name}.txt").read_text(encoding="utf-8")
    assert "\x1b" not in text


def test_what_is_wrong_is_red_at_a_terminal() -> None:
    assert click.style("✗", fg="red") in status_text(BAD_NIGHT, now=NOW)
    assert click.style("✗", fg="red") not in status_text(WELL, now=NOW)
