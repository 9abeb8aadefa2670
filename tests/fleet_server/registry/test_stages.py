"""A release's life: staging, production, the archive; its gate, and retraction (server 2.2, 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from limosa_contracts.errors import InvalidField
from limosa_contracts.names import ReleaseName
from limosa_contracts.phases import Phase
from limosa_server.access.roles import Role
from limosa_server.core.lifecycle.gates import parse_rules
from limosa_server.registry import release_rows
from limosa_server.rollouts.controller import Controller
from tests.fleet_server.obedient import live, obey, start
from tests.fleet_server.world import MODEL, Device, Fleet

RELEASES = "/api/v1/releases"


def ask(
    fleet: Fleet, what: str, version: str = "1.0.0", *, role: Role = Role.OPERATOR, **body: Any
) -> tuple[int, dict[str, Any]]:
    answer = fleet.http.post(
        f"{RELEASES}/{MODEL}/{version}/{what}",
        json={"reason": "because", **body},
        headers=fleet.headers(role),
    )
    return answer.status_code, answer.json()


def shown(fleet: Fleet, version: str = "1.0.0") -> dict[str, Any]:
    answer = fleet.http.get(f"{RELEASES}/{MODEL}/{version}", headers=fleet.headers(Role.VIEWER))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def set_gate(fleet: Fleet, *rules: Mapping[str, Any], scope: str = "demo") -> None:
    answer = fleet.http.put(
        f"{RELEASES}/gates", json={"scope": scope, "rules": list(rules)}, headers=fleet.headers()
    )
    assert answer.status_code == 200, answer.text


def test_nobody_is_promoted_that_has_not_shown_what_the_gate_asks(
    fleet: Fleet, devices: list[Device]
) -> None:
    status, problem = ask(fleet, "promote")
    assert (status, problem["code"]) == (409, "LM-642")
    assert "no rollout of it has completed" in problem["detail"]
    assert ask(fleet, "promote", override=True)[0] == 403  # an operator overrides nothing
    status, done = ask(fleet, "promote", override=True, role=Role.ADMIN)
    assert (status, done["stage"]) == (200, "production")
    rows = fleet.http.get("/api/v1/audit", headers=fleet.headers()).json()["items"]
    (row,) = [one for one in rows if one["action"] == "release.production"]
    assert row["after"]["gate_overridden"] == ["completed_rollout"]


def test_a_completed_rollout_promotes_by_itself_where_nothing_else_is_asked(
    fleet: Fleet, controller: Controller, devices: list[Device], operator: dict[str, str]
) -> None:
    start(fleet, operator)
    live(fleet, controller, devices)
    found = shown(fleet)
    assert found["stage"] == "production"
    assert [step["what"] for step in found["steps"]] == ["production"]
    assert sorted(found["running_on"]) == sorted(device.id for device in devices)
    assert found["devices"] == 3


def test_a_gate_that_asks_for_time_keeps_a_completed_release_in_staging_until_it_has_passed(
    fleet: Fleet, controller: Controller, devices: list[Device], operator: dict[str, str]
) -> None:
    set_gate(fleet, {"rule": "completed_rollout"}, {"rule": "devices", "devices": 3, "for": "48h"})
    start(fleet, operator)
    live(fleet, controller, devices)
    found = shown(fleet)
    assert found["stage"] == "staging"
    assert [(one["rule"], one["passed"]) for one in found["gate"]] == [
        ("completed_rollout", True),
        ("devices", False),
    ]
    status, problem = ask(fleet, "promote")
    assert status == 409
    assert "0 of 3 devices have run it for 2d" in problem["detail"]
    fleet.clock.now += 48 * 3600
    assert ask(fleet, "promote")[1]["stage"] == "production"


def test_what_is_archived_comes_back_through_staging_and_the_gate(
    fleet: Fleet, devices: list[Device]
) -> None:
    assert ask(fleet, "archive")[1]["stage"] == "archived"
    assert ask(fleet, "promote", override=True, role=Role.ADMIN)[0] == 409
    assert ask(fleet, "restore")[1]["stage"] == "staging"
    assert ask(fleet, "promote")[0] == 409


def test_a_retracted_release_ends_its_rollouts_and_is_offered_to_nobody_again(
    fleet: Fleet, controller: Controller, devices: list[Device], operator: dict[str, str]
) -> None:
    start(fleet, operator)
    controller.tick()  # the canary is offered it
    obey(fleet, devices[0])
    obey(fleet, devices[1])
    obey(fleet, devices[2])
    status, done = ask(fleet, "retract", reason="wrong labels")
    assert (status, done["rollouts_canceled"], done["devices"]) == (200, [1], 1)
    assert len(done["running_on"]) == 1
    assert done["retracted"]["reason"] == "wrong labels"
    for _ in range(3):
        controller.tick()
        fleet.clock.now += 1
    rollout = fleet.http.get("/api/v1/rollouts/1", headers=operator).json()
    assert rollout["status"] == "CANCELED"
    assert "wrong labels" in rollout["reason"]
    again = fleet.http.post("/api/v1/rollouts/plan", json={"release": f"{MODEL}@1.0.0", "group": "all"},
                            headers=operator)  # fmt: skip
    assert (again.status_code, again.json()["code"]) == (409, "LM-643")
    assert "wrong labels" in again.json()["detail"]
    assert ask(fleet, "retract")[0] == 409
    assert ask(fleet, "promote", override=True, role=Role.ADMIN)[0] == 409
    assert shown(fleet)["steps"][-1]["what"] == "retracted"


def test_a_retraction_with_rollback_sends_devices_of_its_rollouts_back(
    fleet: Fleet, controller: Controller, devices: list[Device], operator: dict[str, str]
) -> None:
    start(fleet, operator)
    live(fleet, controller, devices)
    with fleet.state.store.transaction() as tx:
        second = release_rows.find(tx, ReleaseName.parse(f"{MODEL}@2.0.0"))
        second.may_return_to = ["1.0.0"]
        tx.add(second)
    start(fleet, operator, release=f"{MODEL}@2.0.0")
    for _ in range(2):
        controller.tick()
        for device in devices:
            obey(fleet, device)
    assert shown(fleet, "2.0.0")["devices"] == 1
    assert ask(fleet, "retract", "2.0.0", rollback=True)[1]["rollouts_canceled"] == [2]
    for _ in range(4):
        controller.tick()
        for device in devices:
            obey(fleet, device)
        fleet.clock.now += 1
    rollout = fleet.http.get("/api/v1/rollouts/2", headers=operator).json()
    assert rollout["status"] == "ROLLED_BACK"
    assert (shown(fleet, "2.0.0")["devices"], shown(fleet, "1.0.0")["devices"]) == (0, 3)


def test_counts_of_who_runs_what_move_with_reports_and_a_revoked_device_counts_no_more(
    fleet: Fleet, controller: Controller, devices: list[Device], operator: dict[str, str]
) -> None:
    start(fleet, operator)
    live(fleet, controller, devices)
    running = fleet.http.get(f"{RELEASES}/running", headers=operator).json()["items"]
    assert [(one["version"], one["devices"]) for one in running] == [("1.0.0", 3)]
    obey(fleet, devices[1], phase=Phase.COMMITTED)  # said again: nothing moves
    assert shown(fleet)["devices"] == 3
    gone = fleet.http.post(f"/api/v1/devices/{devices[0].id}/revoke", json={}, headers=operator)
    assert gone.status_code == 200, gone.text
    assert shown(fleet)["devices"] == 2


@pytest.mark.parametrize(
    "rules",
    [
        [{"rule": "luck"}],
        [{"rule": "devices", "devices": 0, "for": "1h"}],
        [{"rule": "devices", "devices": 3}],
        [{"rule": "evidence", "signed": True}],
        [{"rule": "evidence"}, {"rule": "evidence"}],
        "evidence",
    ],
)
def test_a_gate_that_cannot_be_read_is_refused(rules: Any) -> None:
    with pytest.raises(InvalidField):
        parse_rules(rules, where="gate")


def test_a_gate_is_refused_as_it_is_set_and_only_admins_set_one(fleet: Fleet) -> None:
    body = {"scope": "demo", "rules": [{"rule": "luck"}]}
    answer = fleet.http.put(f"{RELEASES}/gates", json=body, headers=fleet.headers())
    assert (answer.status_code, answer.json()["where"]) == (422, "gate.rules[0].rule")
    denied = fleet.http.put(f"{RELEASES}/gates", json=body, headers=fleet.headers(Role.OPERATOR))
    assert denied.status_code == 403
