"""Before a rollout runs: drafts, people who agree or do not, over REST and the command line (rollouts 2)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_server.access.roles import Role
from limosa_server.cli.rollout_plan import read_spec
from limosa_server.rollouts.controller import Controller
from tests.fleet_server.obedient import ROLLOUT, live, start
from tests.fleet_server.world import Device, Fleet

PATH = "/api/v1/rollouts/1"


def asked(fleet: Fleet, operator: dict[str, str], **approval: Any) -> None:
    answer = fleet.http.post("/api/v1/rollouts", json={**ROLLOUT, "approval": approval}, headers=operator)
    assert answer.status_code == 201, answer.text


def said(fleet: Fleet, verdict: str, who: dict[str, str], remark: str = "") -> tuple[int, Any]:
    answer = fleet.http.post(f"{PATH}/{verdict}", json={"remark": remark}, headers=who)
    return answer.status_code, answer.json()


def test_two_approvers_agree_and_it_runs(
    fleet: Fleet, devices: list[Device], controller: Controller, operator: dict[str, str]
) -> None:
    asked(fleet, operator, approvers=2)
    controller.tick()
    first, second = (fleet.headers(Role.APPROVER, name=name) for name in ("ada", "otto"))
    code, found = said(fleet, "approve", first, "looked at the plan")
    assert (code, found["status"], found["approvals"]["missing"]) == (200, "WAITING_FOR_APPROVAL", 1)
    assert found["reason"] == "one person must agree", "the answer counts the voice that it takes"
    assert said(fleet, "approve", first)[1]["approvals"]["missing"] == 1, "nobody counts twice"
    controller.tick()
    assert fleet.http.get(PATH, headers=operator).json()["reason"] == "one person must agree"
    assert said(fleet, "approve", second)[1]["approvals"]["missing"] == 0
    live(fleet, controller, devices)
    found = fleet.http.get(PATH, headers=operator).json()
    assert found["status"] == "COMPLETED"
    kinds = [one["kind"] for one in fleet.http.get(f"{PATH}/decisions", headers=operator).json()["items"]]
    assert kinds[:5] == ["waiting", "approved", "approved", "approved", "started"]


def test_one_denial_ends_it_with_its_words(
    fleet: Fleet, devices: list[Device], controller: Controller, operator: dict[str, str]
) -> None:
    asked(fleet, operator)
    controller.tick()
    code, answer = said(fleet, "deny", fleet.headers(Role.APPROVER), "not on a Friday")
    assert (code, answer["next"]) == (200, "it ends by itself"), "the answer counts the no that it takes"
    assert answer["reason"].startswith("denied by ")
    controller.tick()
    found = fleet.http.get(PATH, headers=operator).json()
    assert found["status"] == "APPROVAL_DENIED"
    assert found["reason"].endswith("not on a Friday")
    assert found["counts"] == {"CANCELED": 3}
    code, late = said(fleet, "approve", fleet.headers(Role.APPROVER))
    assert (code, late["code"]) == (409, "LM-616")
    actions = [
        one["action"] for one in fleet.http.get("/api/v1/audit", headers=fleet.headers()).json()["items"]
    ]
    assert "rollout.denied" in actions


def test_four_eyes_hold_for_an_admin_too_and_operators_do_not_approve(
    fleet: Fleet, devices: list[Device], controller: Controller, operator: dict[str, str]
) -> None:
    admin = fleet.headers()
    asked(fleet, admin, approvers=1)
    controller.tick()
    code, found = said(fleet, "approve", admin)
    assert (code, found["code"]) == (409, "LM-616")
    assert "approval.four_eyes" in str(found)
    assert said(fleet, "approve", operator)[0] == 403


def test_a_draft_waits_until_it_is_submitted_from_the_command_line(
    fleet: Fleet,
    devices: list[Device],
    controller: Controller,
    operator: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LIMOSA_SERVER", str(fleet.http.base_url))
    monkeypatch.setenv("LIMOSA_TOKEN", operator["Authorization"].removeprefix("Bearer "))
    monkeypatch.setenv("NO_COLOR", "1")

    def limosa(*args: object) -> int:
        return run(make_host(), prog_name="limosa", args=[str(arg) for arg in args])

    file = tmp_path / "rollout.toml"
    release = ROLLOUT["release"]
    file.write_text(
        f'release = "{release}"\ngroup = "all"\n[approval]\napprovers = 1\n'
        "[schedule]\nstart = 1999-12-31T23:00:00Z\n"
    )
    assert limosa("rollout", "start", "--draft", file) == 0
    controller.tick()
    assert limosa("rollout", "status", 1) == 0
    assert "limosa rollout submit 1" in capsys.readouterr().out
    assert limosa("rollout", "submit", 1) == 0
    controller.tick()
    assert limosa("rollout", "status", 1) == 0
    assert "one person must agree" in capsys.readouterr().out
    assert limosa("rollout", "approve", 1) == 4, "an operator does not approve"
    capsys.readouterr()
    monkeypatch.setenv("LIMOSA_TOKEN", fleet.token(Role.APPROVER))
    assert limosa("rollout", "approve", 1, "--remark", "fine") == 0
    controller.tick()
    assert limosa("rollout", "status", 1) == 0
    assert "▶ RUNNING" in capsys.readouterr().out


def test_a_time_in_a_file_needs_no_quotes(tmp_path: Path) -> None:
    file = tmp_path / "rollout.toml"
    text = 'release = "a/b@1.0.0"\ngroup = "g"\n[schedule]\nstart = {}\n'
    file.write_text(text.format("2026-12-01T03:00:00+01:00"))
    spec = read_spec(file)
    file.write_text(text.format('"2026-12-01T02:00:00Z"'))
    assert read_spec(file) == spec
    assert tomllib.loads(file.read_text())["schedule"]["start"] == "2026-12-01T02:00:00Z"


def test_a_rollout_that_waits_for_a_day_says_so(
    fleet: Fleet, devices: list[Device], controller: Controller, operator: dict[str, str]
) -> None:
    asked(fleet, operator)
    controller.tick()
    assert fleet.http.get(PATH, headers=operator).json()["waits_too_long"] == ""
    fleet.clock.now += 25 * 3600
    said_now = fleet.http.get(PATH, headers=fleet.headers(Role.VIEWER)).json()["waits_too_long"]
    assert "WAITING_FOR_APPROVAL for 1d 1h" in said_now


def test_those_at_it_may_finish_when_a_rollout_is_canceled(
    fleet: Fleet, devices: list[Device], controller: Controller, operator: dict[str, str]
) -> None:
    start(fleet, operator)
    controller.tick()
    body = {"let_finish": True}
    assert fleet.http.post(f"{PATH}/cancel", json=body, headers=operator).json()["status"] == "CANCELING"
    controller.tick()
    found = fleet.http.get(PATH, headers=operator).json()
    assert (found["status"], found["counts"]) == ("CANCELING", {"CANCELED": 2, "NOTIFIED": 1})
    live(fleet, controller, devices)
    found = fleet.http.get(PATH, headers=operator).json()
    assert (found["status"], found["succeeded"]) == ("CANCELED", 1)
    both = fleet.http.post(f"{PATH}/cancel", json={"let_finish": True, "rollback": True}, headers=operator)
    assert both.status_code == 409
