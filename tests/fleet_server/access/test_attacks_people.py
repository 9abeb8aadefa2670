"""One person with two tokens, where two persons are asked for (rollouts 2, trust 6.4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from limosa_server.access.roles import Role
from limosa_server.rollouts.controller import Controller
from limosa_server.tables.devices import Device as DeviceRow
from tests.fleet_server.obedient import ROLLOUT
from tests.fleet_server.world import Device, Fleet

PATH = "/api/v1/rollouts/1"


def person(fleet: Fleet, name: str, role: Role) -> dict[str, str]:
    return fleet.headers(role, name=name)


def made_by(fleet: Fleet, who: dict[str, str], name: str, role: Role) -> dict[str, str]:
    answer = fleet.http.post("/api/v1/tokens", json={"name": name, "role": role.value}, headers=who)
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def approve(fleet: Fleet, who: dict[str, str]) -> tuple[int, Any]:
    answer = fleet.http.post(f"{PATH}/approve", json={}, headers=who)
    return answer.status_code, answer.json()


@pytest.fixture
def waiting(fleet: Fleet, devices: list[Device], controller: Controller) -> dict[str, str]:
    """Alice's rollout, which two others must agree to; her token."""
    alice = person(fleet, "alice", Role.ADMIN)
    answer = fleet.http.post(
        "/api/v1/rollouts", json={**ROLLOUT, "approval": {"approvers": 2}}, headers=alice
    )
    assert answer.status_code == 201, answer.text
    controller.tick()
    return alice


def test_nobody_agrees_to_their_own_rollout_with_another_token(
    fleet: Fleet, waiting: dict[str, str], controller: Controller
) -> None:
    """Neither with one of the same name, nor with one that they made."""
    for token in (person(fleet, "alice", Role.APPROVER), made_by(fleet, waiting, "puppet", Role.APPROVER)):
        code, said = approve(fleet, token)
        assert (code, said.get("code")) == (409, "LM-616"), said
    controller.tick()
    found = fleet.http.get(PATH, headers=waiting).json()
    assert (found["status"], found["approvals"]["missing"]) == ("WAITING_FOR_APPROVAL", 2)


def test_one_approver_with_two_tokens_is_one_approver(
    fleet: Fleet, waiting: dict[str, str], controller: Controller
) -> None:
    for _ in range(2):
        code, said = approve(fleet, person(fleet, "bob", Role.APPROVER))
        assert (code, said["approvals"]["missing"]) == (200, 1)
    controller.tick()
    assert fleet.http.get(PATH, headers=waiting).json()["status"] == "WAITING_FOR_APPROVAL"
    assert approve(fleet, person(fleet, "carol", Role.APPROVER))[1]["approvals"]["missing"] == 0


def test_where_tokens_take_two_people_nobody_makes_both_people(fleet: Fleet) -> None:
    """Alice made a token for "dan" and one for "erin", and was two operators."""
    ruled = ("device.revoke", "token.create")
    fleet.state.settings = replace(fleet.state.settings, two_person=ruled)
    device = fleet.enroll().id
    alice = person(fleet, "alice", Role.ADMIN)
    for role in (Role.OPERATOR, Role.APPROVER, Role.ADMIN):
        answer = fleet.http.post("/api/v1/tokens", json={"name": "dan", "role": role.value}, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (409, "LM-656"), role
    for role in (Role.VIEWER, Role.PUBLISHER):
        made_by(fleet, alice, "reader", role)
    bob = person(fleet, "bob", Role.ADMIN)
    wider = fleet.http.post("/api/v1/tokens", json={"name": "dan", "role": "admin"}, headers=bob)
    assert wider.status_code == 201, "both asked for an admin"
    with fleet.state.store.read() as tx:
        assert tx.get_one(DeviceRow, device).state == "active"


def test_what_a_stolen_token_asked_for_counts_no_more_when_it_is_revoked(fleet: Fleet) -> None:
    fleet.state.settings = replace(fleet.state.settings, two_person=("device.revoke",))
    device = fleet.enroll().id
    stolen = person(fleet, "alice", Role.OPERATOR)
    path = f"/api/v1/devices/{device}/revoke"
    assert fleet.http.post(path, headers=stolen).status_code == 409
    token_id = stolen["Authorization"].partition("_")[2].partition(".")[0]
    assert fleet.http.delete(f"/api/v1/tokens/{token_id}", headers=fleet.headers()).status_code == 200
    assert fleet.http.post(path, headers=person(fleet, "bob", Role.OPERATOR)).status_code == 409
    with fleet.state.store.read() as tx:
        assert tx.get_one(DeviceRow, device).state == "active"
