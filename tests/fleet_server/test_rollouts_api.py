"""Groups, releases and rollouts over REST and on the command line, with devices that speak HTTPS only."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_contracts.desired import PAYLOAD_TYPE, DesiredState
from limosa_contracts.dsse import Envelope
from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.phases import Phase
from limosa_contracts.reported import Installed, Reported, ReportedModel
from limosa_contracts.topics import Suffix
from limosa_server.assembly import make_controller
from limosa_server.controller import Controller
from limosa_server.roles import Role
from limosa_server.tables.releases import Release, Variant
from limosa_server.tables.rollouts import RolloutRow
from tests.fleet_server.world import MODEL, Device, Fleet, as_batch

ROLLOUT = {
    "release": f"{MODEL}@1.0.0",
    "group": "all",
    "waves": [{"name": "canary", "count": 1, "bake": "5s"}, {"name": "rest", "bake": "0s"}],
    "abort": [{"threshold": 0.1, "min_executed": 1, "action": "rollback"}],
    "timeouts": {"silence": "1h"},
}
TOML = f"""
release = "{MODEL}@1.0.0"
group = "all"
waves = [{{ name = "canary", count = 1, bake = "5s" }}, {{ name = "rest", bake = "0s" }}]
[timeouts]
silence = "1h"
"""


def index_of(version: str) -> str:
    return hashlib.sha256(version.encode()).hexdigest()


def publish(fleet: Fleet, version: str, counter: int) -> None:
    with fleet.state.store.transaction() as tx:
        row = Release(
            model=MODEL,
            version=version,
            index_sha256=index_of(version),
            release_counter=counter,
            may_return_to=[],
            published_at=fleet.clock.now,
            published_by="test",
            size_bytes=10,
        )
        tx.add(row)
        tx.flush()
        assert row.id is not None
        tx.add(Variant(release_id=row.id, position=0, name="v", manifest_sha256="0" * 64, size_bytes=10))


@pytest.fixture
def devices(fleet: Fleet) -> list[Device]:
    """Three devices in the group `all`, two of them at hq; two releases are published."""
    publish(fleet, "1.0.0", 1)
    publish(fleet, "2.0.0", 2)
    made = fleet.http.post("/api/v1/groups", json={"name": "all"}, headers=fleet.headers())
    assert made.status_code == 201, made.text
    return [
        fleet.enroll(fleet.enroll_token(group="all", labels={"site": site})) for site in ("hq", "hq", "lab")
    ]


@pytest.fixture
def controller(fleet: Fleet) -> Controller:
    return make_controller(fleet.state)


@pytest.fixture
def operator(fleet: Fleet, devices: list[Device]) -> dict[str, str]:
    return fleet.headers(Role.OPERATOR)


def obey(fleet: Fleet, device: Device, *, phase: Phase = Phase.COMMITTED) -> None:
    """The device fetches its document over HTTPS, does what it says, and reports."""
    access = fleet.access(device)
    answer = fleet.http.get("/api/v1/device/desired", headers=access)
    if answer.status_code == 404:
        return
    key = fleet.state.trust.key("director").public
    state = DesiredState.parse(
        Envelope.parse(answer.content, max_bytes=65536).verify(key, payload_type=PAYLOAD_TYPE)
    )
    wanted = state.models[0] if state.models else None
    active = None
    messages = []
    if wanted is not None:
        if phase is Phase.COMMITTED:
            active = Installed(
                version=wanted.version, index_sha256=wanted.index_sha256, manifest_sha256="0" * 64
            )
        event = UpdateEvent(
            device=device.id,
            key=f"{wanted.rollout}/{wanted.attempt}/{phase.value}",
            kind="update",
            model=MODEL,
            version=wanted.version,
            index_sha256=wanted.index_sha256,
            manifest_sha256="",
            rollout=wanted.rollout,
            attempt=wanted.attempt,
            phase=phase,
            reason=Reason(code="golden_mismatch", message="2 of 8 golden vectors differ"),
            at=1.0,
            boot="b1",
        )
        messages.append(device.message(Suffix.EVENT, event.encode()))
    said = ReportedModel(
        model=MODEL,
        phase=phase,
        active=active,
        rollout=wanted.rollout if wanted else "",
        attempt=wanted.attempt if wanted else 1,
    )
    reported = Reported(
        device=device.id,
        agent="0.1.0",
        boot="b1",
        clock="ntp",
        at=1.0,
        desired=(state.epoch, state.counter),
        models=(said,),
    )
    messages.append(device.message(Suffix.REPORTED, reported.encode()))
    sent = fleet.http.post("/api/v1/device/reports", headers=access, json=as_batch(*messages))
    assert sent.status_code == 200, sent.text


def live(fleet: Fleet, controller: Controller, devices: list[Device], *, seconds: int = 20) -> None:
    for _ in range(seconds):
        controller.tick()
        for device in devices:
            obey(fleet, device)
        fleet.clock.now += 1
        with fleet.state.store.read() as tx:
            if tx.get_one(RolloutRow, 1).status == "COMPLETED":
                return


def start(fleet: Fleet, headers: dict[str, str], **fields: Any) -> dict[str, Any]:
    answer = fleet.http.post("/api/v1/rollouts", json={**ROLLOUT, **fields}, headers=headers)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_rollout_over_https_alone_completes(
    fleet: Fleet, devices: list[Device], controller: Controller, operator: dict[str, str]
) -> None:
    started = start(fleet, operator)
    assert started["status"] == "VALIDATING"
    live(fleet, controller, devices)
    found = fleet.http.get("/api/v1/rollouts/1", headers=operator).json()
    assert (found["status"], found["succeeded"], found["devices"]) == ("COMPLETED", 3, 3)
    assert [wave["status"] for wave in found["waves"]] == ["SUCCEEDED"] * 3
    release = fleet.http.get(f"/api/v1/releases/{MODEL}/1.0.0", headers=operator).json()
    assert release["stage"] == "production"
    assert len(release["running_on"]) == 3
    decisions = fleet.http.get("/api/v1/rollouts/1/decisions", headers=operator).json()["items"]
    assert [one["kind"] for one in decisions][:2] == ["started", "wave_started"]
    assert all(one["sentence"] and len(one["inputs_sha256"]) == 64 for one in decisions)


def test_a_first_release_that_fails_is_taken_out_of_the_document_again(
    fleet: Fleet, devices: list[Device], controller: Controller, operator: dict[str, str]
) -> None:
    start(fleet, operator)
    for _ in range(4):
        controller.tick()
        for device in devices:
            obey(fleet, device, phase=Phase.REJECTED)
        fleet.clock.now += 1
    found = fleet.http.get("/api/v1/rollouts/1", headers=operator).json()
    assert found["status"] == "ROLLED_BACK"
    failed = fleet.http.get("/api/v1/rollouts/1/executions?status=REJECTED", headers=operator).json()["items"]
    assert [one["reason"] for one in failed] == ["2 of 8 golden vectors differ"]
    again = fleet.http.post("/api/v1/rollouts", json=ROLLOUT, headers=operator)
    assert (again.status_code, again.json()["code"]) == (409, "LM-652")


def test_the_same_idempotency_key_starts_one_rollout(fleet: Fleet, operator: dict[str, str]) -> None:
    headers = {**operator, "Idempotency-Key": "k1"}
    assert start(fleet, headers)["id"] == start(fleet, headers)["id"] == 1
    other = fleet.http.post("/api/v1/rollouts", json={**ROLLOUT, "success": {"percent": 50}}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "LM-655")


def test_a_plan_writes_nothing_and_runs_exactly_or_not_at_all(
    fleet: Fleet, devices: list[Device], operator: dict[str, str]
) -> None:
    planned = fleet.http.post(
        "/api/v1/rollouts/plan", json=ROLLOUT, headers=fleet.headers(Role.VIEWER)
    ).json()
    assert [len(wave["devices"]) for wave in planned["waves"]] == [1, 2]
    assert fleet.http.get("/api/v1/rollouts", headers=operator).json()["items"] == []
    plan = {"salt": planned["salt"], "fingerprint": planned["fingerprint"]}
    fleet.enroll(fleet.enroll_token(group="all"))
    stale = fleet.http.post("/api/v1/rollouts", json={**ROLLOUT, "plan": plan}, headers=operator)
    assert (stale.status_code, stale.json()["code"]) == (409, "LM-651")


def test_who_may_read_may_not_start(fleet: Fleet, operator: dict[str, str]) -> None:
    for role in (Role.VIEWER, Role.PUBLISHER, Role.APPROVER):
        answer = fleet.http.post("/api/v1/rollouts", json=ROLLOUT, headers=fleet.headers(role))
        assert (answer.status_code, answer.json()["code"]) == (403, "LM-401")
    other_team = {"Authorization": f"Bearer {fleet.token(Role.OPERATOR, team='vision')}"}
    assert fleet.http.post("/api/v1/rollouts", json=ROLLOUT, headers=other_team).status_code == 403
    assert fleet.http.get("/api/v1/rollouts").status_code == 401


@pytest.mark.parametrize(
    "change, code, where",
    [
        ({"release": "demo/motion@9.9.9"}, "LM-413", "rollout.release"),
        ({"group": "nobody"}, "LM-413", "group"),
        ({"group": "<script>"}, "LM-410", "rollout.group"),
        ({"abort": [{"threshold": 2}]}, "LM-410", "rollout.abort[0].threshold"),
        ({"group": None, "selector": "site in (hq"}, "LM-416", "rollout.selector, character 12"),
        ({"group": None, "selector": "site=mars"}, "LM-650", "selector site=mars"),
        ({"waves": [{"name": "a", "selector": "site=mars"}, {"name": "b"}]}, "LM-650", "all"),
        ({"schedule": {}}, "LM-410", "rollout.schedule"),
    ],
)
def test_bad_input_is_refused_with_its_place(
    fleet: Fleet, operator: dict[str, str], change: dict[str, Any], code: str, where: str
) -> None:
    answer = fleet.http.post("/api/v1/rollouts", json={**ROLLOUT, **change}, headers=operator)
    assert answer.status_code in (404, 409, 422)
    assert (answer.json()["code"], answer.json()["where"]) == (code, where)
    assert fleet.http.get("/api/v1/rollouts", headers=operator).json()["items"] == []


def test_pause_resume_cancel_with_if_match_and_an_audit_row(
    fleet: Fleet, controller: Controller, operator: dict[str, str]
) -> None:
    start(fleet, operator)
    controller.tick()
    etag = fleet.http.get("/api/v1/rollouts/1", headers=operator).headers["etag"]
    paused = fleet.http.post(
        "/api/v1/rollouts/1/pause", json={"remark": "wait"}, headers={**operator, "If-Match": etag}
    )
    assert (paused.status_code, paused.json()["status"], paused.json()["pause"]) == (200, "PAUSED", "manual")
    late = fleet.http.post("/api/v1/rollouts/1/resume", json={}, headers={**operator, "If-Match": etag})
    assert late.status_code == 412
    again = fleet.http.post("/api/v1/rollouts/1/pause", json={}, headers=operator)
    assert (again.status_code, again.json()["code"]) == (409, "LM-414")
    assert (
        fleet.http.post("/api/v1/rollouts/1/resume", json={}, headers=operator).json()["status"] == "RUNNING"
    )
    assert (
        fleet.http.post("/api/v1/rollouts/1/cancel", json={}, headers=operator).json()["status"]
        == "CANCELING"
    )
    controller.tick()
    found = fleet.http.get("/api/v1/rollouts/1", headers=operator).json()
    assert (found["status"], found["counts"]) == ("CANCELED", {"CANCELED": 3})
    assert fleet.http.get("/api/v1/rollouts/99999999999999999999", headers=operator).status_code in (404, 422)


def test_lists_are_paged_and_filtered(fleet: Fleet, operator: dict[str, str]) -> None:
    for _ in range(3):
        start(fleet, operator)
    first = fleet.http.get("/api/v1/rollouts?limit=2", headers=operator).json()
    assert [one["id"] for one in first["items"]] == [3, 2]
    rest = fleet.http.get(f"/api/v1/rollouts?limit=2&cursor={first['next']}", headers=operator).json()
    assert ([one["id"] for one in rest["items"]], rest["next"]) == ([1], None)
    assert fleet.http.get("/api/v1/rollouts?status=RUNNING", headers=operator).json()["items"] == []
    assert fleet.http.get("/api/v1/rollouts?status=HAPPY", headers=operator).status_code == 422
    assert fleet.http.get("/api/v1/releases?cursor=!!", headers=operator).status_code == 422
    found = fleet.http.get("/api/v1/releases?model=demo/motion&stage=staging", headers=operator).json()[
        "items"
    ]
    assert [one["version"] for one in found] == ["2.0.0", "1.0.0"]


def test_groups_over_rest(fleet: Fleet, devices: list[Device], operator: dict[str, str]) -> None:
    made = fleet.http.post(
        "/api/v1/groups", json={"name": "hq", "selector": "site in (hq)"}, headers=operator
    )
    assert (made.status_code, made.json()["devices"], made.json()["selector"]) == (201, 2, "site=hq")
    twice = fleet.http.post("/api/v1/groups", json={"name": "hq"}, headers=operator)
    assert (twice.status_code, twice.json()["code"]) == (409, "LM-654")
    body = {"devices": [devices[2].id]}
    assert (
        fleet.http.post("/api/v1/groups/hq/devices", json=body, headers=operator).json()["code"] == "LM-653"
    )
    removed = fleet.http.post("/api/v1/groups/all/devices/remove", json=body, headers=operator).json()
    assert (removed["removed"], removed["devices"]) == ([devices[2].id], 2)
    added = fleet.http.post("/api/v1/groups/all/devices", json=body, headers=operator).json()
    assert (added["added"], added["devices"]) == ([devices[2].id], 3)
    ghost = fleet.http.post("/api/v1/groups/all/devices", json={"devices": ["ghost"]}, headers=operator)
    assert ghost.status_code == 404
    assert len(fleet.http.get("/api/v1/groups/all/devices", headers=operator).json()["items"]) == 3


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


def test_the_commands_of_groups_and_releases(
    devices: list[Device], limosa: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert limosa("group", "create", "hq", "--selector", "site=hq") == 0
    assert limosa("group", "create", "some", "--device", devices[0].id) == 0
    assert limosa("group", "add", "some", devices[1].id) == 0
    assert limosa("group", "remove", "some", devices[0].id) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "group some: 1 devices"
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
