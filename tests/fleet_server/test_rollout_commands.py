"""`limosa rollout`, `group` and `release` against a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_contracts.json_value import JsonObject
from limosa_server.cli.rollout import explained
from limosa_server.rollouts.controller import Controller
from limosa_server.tables.devices import Device as DeviceRow
from tests.fleet_server.obedient import live, start
from tests.fleet_server.world import MODEL, Device, Fleet

TOML = f"""
release = "{MODEL}@1.0.0"
group = "all"
waves = [{{ name = "canary", count = 1, bake = "5s" }}, {{ name = "rest", bake = "0s" }}]
[timeouts]
silence = "1h"
"""


@pytest.fixture
def limosa(fleet: Fleet, operator: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `limosa …` against the server."""
    monkeypatch.setenv("LIMOSA_SERVER", str(fleet.http.base_url))
    monkeypatch.setenv("LIMOSA_TOKEN", operator["Authorization"].removeprefix("Bearer "))
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *args: run(make_host(), prog_name="limosa", args=[str(arg) for arg in args])


def test_the_commands_plan_start_watch_and_explain(
    fleet: Fleet,
    devices: list[Device],
    controller: Controller,
    limosa: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "rollout.toml"
    file.write_text(TOML)
    assert limosa("rollout", "plan", file) == 0
    shown = capsys.readouterr().out
    assert "canary  1        5s" in shown
    assert "sees        criteria judge" in shown
    assert limosa("rollout", "plan", file, "--json") == 0
    plan = tmp_path / "plan.json"
    plan.write_text(capsys.readouterr().out)
    assert limosa("rollout", "start", "--plan", plan) == 0
    assert "VALIDATING" in capsys.readouterr().out
    controller.tick()
    assert limosa("rollout", "status", 1) == 0
    assert "▶ RUNNING" in capsys.readouterr().out
    assert limosa("rollout", "status", 1, "--watch", "--timeout", "0s") == 7
    assert "LM-303" in capsys.readouterr().err
    live(fleet, controller, devices)
    assert limosa("rollout", "status", 1, "--watch") == 0
    shown = capsys.readouterr().out
    assert "✔ COMPLETED" in shown
    assert "canary  ✔ SUCCEEDED  1/1  1 succeeded" in shown
    assert limosa("rollout", "explain", 1) == 0
    assert "wave canary: 1 of 1 executed devices succeeded" in capsys.readouterr().out
    assert limosa("rollout", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)["items"][0]["status"] == "COMPLETED"
    assert limosa("rollout", "pause", 1) == 2
    assert "error[LM-414]" in capsys.readouterr().err


def test_the_exit_code_of_a_rollout_that_ended_badly_is_3(
    fleet: Fleet,
    controller: Controller,
    limosa: Any,
    operator: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    start(fleet, operator)
    assert limosa("rollout", "cancel", 1, "--remark", "wrong day") == 0
    controller.tick()
    assert limosa("rollout", "status", 1) == 3
    assert "■ CANCELED" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["abc", "0", "1.5", "-3", "9" * 30])
def test_what_is_no_number_of_a_rollout_is_refused_in_words(
    limosa: Any, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    for name in ("status", "explain", "approve", "report"):
        assert limosa("rollout", name, "--", word) == 2
        said = capsys.readouterr().err
        assert "is not a rollout's number" in said
        assert "limosa rollout list" in said


def test_what_ends_a_wave_and_the_rollout_is_explained_once_and_in_utc() -> None:
    wave: JsonObject = {
        "name": "few", "tail": False, "status": "FAILED", "reason": "too few agree", "devices": 2,
        "executed": 2, "counts": {"SUCCEEDED": 2},
    }  # fmt: skip
    found: JsonObject = {
        "id": 6, "release": "demo/motion@4.0.0", "target": "wrists", "status": "FAILED",
        "reason": "too few agree", "waves": [wave],
    }  # fmt: skip
    end: JsonObject = {"id": 1, "at": 7.0, "kind": "gate", "verdict": "FAILED", "sentence": "too few agree"}
    shown = explained(found, [end, {**end, "id": 2, "kind": "ended"}], [])
    assert shown.count("1970-01-01 00:00:07 UTC  FAILED  too few agree") == 1


def test_a_label_that_is_taken_away_and_holds_says_whose_it_is(
    fleet: Fleet, limosa: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    device = fleet.enroll(fleet.enroll_token(labels={"role": "canary"}))
    assert limosa("device", "label", device.id, "role-") == 0
    said = capsys.readouterr().out
    assert "role=canary is what its enrolment token says, and holds" in said
    assert limosa("device", "label", device.id, "role=rest") == 0
    assert "holds" not in capsys.readouterr().out


def test_the_commands_of_groups_and_releases(
    devices: list[Device], limosa: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert limosa("group", "create", "hq", "--selector", "site=hq") == 0
    assert limosa("group", "create", "some", "--device", devices[0].id) == 0
    assert limosa("group", "add", "some", devices[1].id) == 0
    assert limosa("group", "remove", "some", devices[0].id) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "group some: 1 device"
    assert limosa("group", "show", "some") == 0
    assert devices[1].id in capsys.readouterr().out
    assert limosa("group", "list") == 0
    assert "site=hq" in capsys.readouterr().out
    assert limosa("release", "list") == 0
    assert "demo/motion@2.0.0" in capsys.readouterr().out
    assert limosa("release", "show", "demo/motion@2.0.0") == 0
    assert "staging" in capsys.readouterr().out
    assert limosa("group", "show", "sme") == 2
    assert "did you mean 'some'?" in capsys.readouterr().err


def test_the_command_that_takes_a_device_out(
    devices: list[Device], limosa: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert limosa("device", "revoke", devices[0].id, "--reason", "stolen") == 0
    first = capsys.readouterr().out
    assert first.startswith(f"device {devices[0].id} has been revoked since ")
    assert first.endswith(": stolen\n")
    assert limosa("device", "revoke", devices[0].id, "--reason", "lost") == 0
    assert capsys.readouterr().out == first  # what was said when it left holds
    assert limosa("device", "logs", devices[0].id) == 6
    assert f"limosa device show {devices[0].id} says when and why" in capsys.readouterr().err
    assert limosa("device", "show", devices[0].id, "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "revoked"
    assert limosa("device", "list", "--label", "site") == 2
    assert "for example --label site=lab" in capsys.readouterr().err
    assert limosa("device", "revoke", "ghost") == 2
    assert "hint: limosa device list" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_unreachable(
    limosa: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIMOSA_SERVER", "http://127.0.0.1:1")
    assert limosa("rollout", "list") == 6
    assert "error[LM-301]" in capsys.readouterr().err
    monkeypatch.delenv("LIMOSA_SERVER")
    assert limosa("rollout", "list") == 2
    monkeypatch.setenv("LIMOSA_SERVER", "http://127.0.0.1:1")
    monkeypatch.delenv("LIMOSA_TOKEN")
    assert limosa("rollout", "list") == 4


def test_a_rollout_file_with_a_mistake_names_file_and_field(
    limosa: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rollout.toml"
    file.write_text(TOML.replace("bake", "bkae"))
    assert limosa("rollout", "start", file) == 2
    said = capsys.readouterr().err
    assert "rollout.toml.waves[0].bkae" in said
    assert "did you mean 'bake'?" in said
    file.write_text("release = ")
    assert limosa("rollout", "start", file) == 2
    assert limosa("rollout", "start", tmp_path / "missing.toml") == 1
    assert limosa("rollout", "start") == 2


def test_a_name_or_a_label_that_is_mistyped_does_not_look_like_an_empty_fleet(
    devices: list[Device], limosa: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert limosa("device", "list", "--group", "al") == 2
    assert "did you mean 'all'?" in capsys.readouterr().err
    assert limosa("device", "list", "--label", "rolle=canary") == 0
    assert "no device has such labels now" in capsys.readouterr().err
    assert limosa("device", "list", "--version", "2.0") == 0
    assert "no device runs 2.0 now" in capsys.readouterr().err
    assert limosa("group", "create", "first", "--selector", "rolle=canary") == 0
    assert "no device has such labels now" in capsys.readouterr().err
    assert limosa("device", "pin", devices[0].id, "--reason", "on the bench") == 0
    capsys.readouterr()
    assert limosa("device", "show", devices[0].id) == 0
    shown = capsys.readouterr().out
    assert "groups     all" in shown
    assert "enrolled   " in shown
    assert "for every model: on the bench" in shown


def test_a_wave_that_waits_for_a_device_that_was_shut_out_says_so(
    fleet: Fleet,
    devices: list[Device],
    controller: Controller,
    limosa: Any,
    operator: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    start(fleet, operator)
    controller.tick()
    controller.tick()
    wave = fleet.http.get("/api/v1/rollouts/1/executions?status=NOTIFIED", headers=operator).json()["items"]
    canary = wave[0]["device"]
    with fleet.state.store.transaction() as tx:
        for row in tx.exec(select(DeviceRow)).all():
            row.online = True
            tx.add(row)
    assert fleet.http.get("/api/v1/rollouts/1", headers=operator).json()["waits_for"] == []
    assert limosa("device", "revoke", canary) == 0
    capsys.readouterr()
    assert limosa("rollout", "status", 1) == 0
    shown = capsys.readouterr().out
    assert f"waits for {canary} (revoked)" in shown
    assert "when 1 more device is through" in shown
