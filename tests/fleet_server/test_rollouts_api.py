"""Groups, releases and rollouts over REST, with devices that speak HTTPS only."""

from __future__ import annotations

from typing import Any

import pytest

from limosa_contracts.phases import Phase
from limosa_server.access.roles import Role
from limosa_server.rollouts.controller import Controller
from tests.fleet_server.obedient import ROLLOUT, live, obey, start
from tests.fleet_server.world import MODEL, Device, Fleet


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
        ({"schedule": {"start": "soon"}}, "LM-410", "rollout.schedule.start"),
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
