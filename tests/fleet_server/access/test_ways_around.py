"""What one person tries where two are asked for: another door to the same room (trust 6.4)."""

from __future__ import annotations

import sys
import threading
import traceback
from dataclasses import replace
from typing import Any

import pytest
from sqlmodel import col, select

from limosa_server.access.roles import Role
from limosa_server.assembly import make_controller
from limosa_server.rollouts.controller import Controller
from limosa_server.tables.access import AuditRow, EnrollmentToken
from limosa_server.tables.devices import Device as DeviceRow
from tests.fleet_server.obedient import ROLLOUT, obey
from tests.fleet_server.world import MODEL, Device, Fleet
from tests.support.waiting import wait_until

RELEASE = f"/api/v1/releases/{MODEL}/1.0.0"


def rule(fleet: Fleet, *actions: str) -> None:
    fleet.state.settings = replace(fleet.state.settings, two_person=actions)


def ask(fleet: Fleet, who: dict[str, str], path: str, body: Any = None, method: str = "POST") -> Any:
    answer = fleet.http.request(method, path, json=body if body is not None else {}, headers=who)
    assert answer.status_code < 500, answer.text
    return answer


def asks_for_another(fleet: Fleet, who: dict[str, str], path: str, body: Any = None, **kind: str) -> bool:
    answer = ask(fleet, who, path, body, **kind)
    return bool(answer.status_code == 409 and answer.json()["code"] == "LM-656")


def audited(fleet: Fleet, action: str) -> list[str]:
    with fleet.state.store.read() as tx:
        return list(tx.exec(select(AuditRow.object).where(AuditRow.action == action)))


def tokens_for(fleet: Fleet, device: str) -> int:
    with fleet.state.store.read() as tx:
        return len(tx.exec(select(EnrollmentToken).where(col(EnrollmentToken.device) == device)).all())


@pytest.mark.parametrize(
    "path, body",
    [
        ("/api/v1/devices/{}/decommission", {}),
        ("/api/v1/devices/{}/replace", {}),
        ("/api/v1/enrollment-tokens", {"device": "…"}),
        ("/api/v1/enrollment-tokens", {"device": "…", "serial": "s1", "expires_in_s": 60}),
    ],
)
def test_one_person_shuts_no_device_out_by_another_door(
    fleet: Fleet, path: str, body: dict[str, Any]
) -> None:
    """Revoking took two. Letting it go for good, or enrolling another in its place, took one."""
    rule(fleet, "device.revoke")
    device = fleet.enroll()
    body = {**body, "device": device.id} if "device" in body else body
    alice, bob = fleet.headers(Role.OPERATOR, name="alice"), fleet.headers(Role.OPERATOR, name="bob")
    for _ in range(2):
        assert asks_for_another(fleet, alice, path.format(device.id), body)
    assert tokens_for(fleet, device.id) == 0
    waiting = fleet.http.get("/api/v1/server/second-person", headers=bob).json()["items"]
    assert [(one["object"], one["asked_by"]) for one in waiting] == [(f"device {device.id}", "alice")]
    assert audited(fleet, f"{waiting[0]['action']}.ask") == [f"device {device.id}"]
    with fleet.state.store.read() as tx:
        assert tx.get_one(DeviceRow, device.id).state == "active"
    assert ask(fleet, bob, path.format(device.id), body).status_code in (200, 201)


def test_two_who_ask_for_a_replacement_get_one(fleet: Fleet) -> None:
    """For other hardware than the first person meant, the second has to ask somebody."""
    rule(fleet, "device.revoke")
    device = fleet.enroll()
    path = f"/api/v1/devices/{device.id}/replace"
    alice, bob = fleet.headers(Role.OPERATOR, name="alice"), fleet.headers(Role.OPERATOR, name="bob")
    assert asks_for_another(fleet, alice, path, {"serial": "new-1"})
    assert asks_for_another(fleet, bob, path, {"serial": "bobs-own"})
    assert asks_for_another(fleet, bob, "/api/v1/enrollment-tokens", {"device": device.id})
    made = ask(fleet, bob, path, {"serial": "new-1"})
    assert made.status_code == 201, made.text
    fresh = fleet.enroll(made.json()["token"], serial="new-1")
    assert fresh.id == device.id
    assert fleet.http.post(
        "/api/v1/device/token", data=device.assertion_form(fleet.clock.now)
    ).status_code == 403, "the old hardware is out"  # fmt: skip


def test_a_list_of_devices_makes_no_token_for_one_that_is_there(fleet: Fleet) -> None:
    rule(fleet, "device.revoke")
    device = fleet.enroll()
    answer = fleet.http.post(
        "/api/v1/devices:import",
        params={"enroll": "true"},
        content=f"device,serial\n{device.id},s9\nkiosk-new,s1\n".encode(),
        headers={**fleet.headers(Role.OPERATOR, name="alice"), "Content-Type": "text/csv"},
    )
    assert answer.status_code == 200, answer.text
    assert [one["device"] for one in answer.json()["tokens"]] == ["kiosk-new"]
    assert tokens_for(fleet, device.id) == 0


def test_a_token_made_before_its_device_was_there_does_not_take_its_place(fleet: Fleet) -> None:
    """Alice made two tokens for a new name, and kept one for later."""
    rule(fleet, "device.revoke")
    alice = fleet.headers(Role.OPERATOR, name="alice")
    first, kept = (
        str(ask(fleet, alice, "/api/v1/enrollment-tokens", {"device": "kiosk-1"}).json()["token"])
        for _ in range(2)
    )
    device = fleet.enroll(first)
    with pytest.raises(AssertionError, match="LM-6"):
        fleet.enroll(kept)
    assert fleet.access(device)


def test_a_token_that_is_made_while_its_device_enrols_does_not_take_its_place(fleet: Fleet) -> None:
    """Alice asked for one in that moment: nobody had the name when she asked, somebody when she was given
    it."""
    rule(fleet, "device.revoke")
    alice = fleet.headers(Role.OPERATOR, name="alice")
    ask(fleet, alice, "/api/v1/groups", {"name": "g"})  # so that her token's use is written down
    answers: list[Any] = []
    body = {"device": "kiosk-3", "expires_in_s": 86400}
    asking = threading.Thread(
        target=lambda: answers.append(ask(fleet, alice, "/api/v1/enrollment-tokens", body))
    )
    with fleet.state.store.transaction() as tx:  # of the enrolment
        asking.start()
        wait_until(waits_to_write, timeout_s=20, what="she waits for her turn")
        tx.add(DeviceRow(id="kiosk-3", enrolled_at=fleet.clock.now))
    asking.join(20)
    assert answers[0].status_code == 409, answers[0].text
    assert tokens_for(fleet, "kiosk-3") == 0
    assert asks_for_another(fleet, alice, "/api/v1/enrollment-tokens", body)


def waits_to_write() -> bool:
    """Whether the request for a token has looked at what there is, and waits for the enrolment's end."""
    return any(
        stack[-1].name == "transaction" and any(frame.name == "create_token" for frame in stack)
        for stack in map(traceback.extract_stack, sys._current_frames().values())
    )


@pytest.mark.parametrize(
    "path, body",
    [
        ("/api/v1/devices/{}/replace", {}),
        ("/api/v1/enrollment-tokens", {"device": "…"}),
        ("/api/v1/tokens", {"name": "carol", "role": "admin"}),
    ],
)
def test_what_two_agree_to_lives_as_long_as_both_have_said(
    fleet: Fleet, path: str, body: dict[str, Any]
) -> None:
    """Alice asked for an hour. Bob, who was shown the token, made it ten weeks."""
    rule(fleet, "device.revoke", "token.create")
    device = fleet.enroll()
    body = {**body, "device": device.id} if "device" in body else body
    alice, bob = fleet.headers(Role.ADMIN, name="alice"), fleet.headers(Role.ADMIN, name="bob")
    assert asks_for_another(fleet, alice, path.format(device.id), {**body, "expires_in_s": 3600})
    for other in ({}, {"expires_in_s": 70 * 86400}):
        assert asks_for_another(fleet, bob, path.format(device.id), {**body, **other})
    made = ask(fleet, bob, path.format(device.id), {**body, "expires_in_s": 3600})
    assert made.status_code == 201, made.text
    assert made.json()["expires_at"] == fleet.clock.now + 3600


def test_new_names_and_the_other_actions_go_on_with_one_person(fleet: Fleet) -> None:
    rule(fleet, "device.revoke")
    alice = fleet.headers(Role.OPERATOR, name="alice")
    assert ask(fleet, alice, "/api/v1/enrollment-tokens", {"device": "kiosk-2"}).status_code == 201
    assert ask(fleet, alice, "/api/v1/groups", {"name": "g"}).status_code == 201


def test_nobody_asks_about_a_device_that_is_not_there(fleet: Fleet) -> None:
    rule(fleet, "device.revoke")
    alice = fleet.headers(Role.OPERATOR, name="alice")
    for action in ("revoke", "decommission", "replace"):
        assert ask(fleet, alice, f"/api/v1/devices/nobody/{action}").status_code == 404
    assert fleet.http.get("/api/v1/server/second-person", headers=alice).json()["items"] == []


def test_the_puppet_of_a_puppet_is_no_second_person(fleet: Fleet) -> None:
    """Alice made `dan`, and with dan's token made `erin`, whom nothing tied to alice."""
    rule(fleet, "device.revoke")
    device = fleet.enroll()
    alice = fleet.headers(Role.ADMIN, name="alice")
    path = f"/api/v1/devices/{device.id}/revoke"
    assert asks_for_another(fleet, alice, path)
    who = alice
    for name in ("dan", "erin", "frank"):
        made = ask(fleet, who, "/api/v1/tokens", {"name": name, "role": "admin"})
        who = {"Authorization": f"Bearer {made.json()['token']}"}
        assert asks_for_another(fleet, who, path), name
    assert ask(fleet, fleet.headers(Role.OPERATOR, name="bob"), path).status_code == 200


def finish_a_rollout(fleet: Fleet, devices: list[Device]) -> str:
    """The stage of its release after it."""
    controller: Controller = make_controller(fleet.state)
    started = ask(fleet, fleet.headers(Role.OPERATOR, name="alice"), "/api/v1/rollouts", ROLLOUT)
    assert started.status_code == 201, started.text
    for _ in range(8):
        controller.tick()
        for device in devices:
            obey(fleet, device)
        fleet.clock.now += 6
    controller.tick()
    rollout = fleet.http.get("/api/v1/rollouts/1", headers=fleet.headers()).json()
    assert rollout["status"] == "COMPLETED", rollout["status"]
    return str(fleet.http.get(RELEASE, headers=fleet.headers()).json()["stage"])


def test_a_rollout_of_one_person_promotes_nothing_where_two_must(fleet: Fleet, devices: list[Device]) -> None:
    """By the default gate, a rollout on one device that completes was enough for production."""
    rule(fleet, "release.promote")
    assert finish_a_rollout(fleet, devices) == "staging"
    alice, bob = fleet.headers(Role.OPERATOR, name="alice"), fleet.headers(Role.OPERATOR, name="bob")
    assert asks_for_another(fleet, alice, f"{RELEASE}/promote", {"reason": "it runs"})
    assert ask(fleet, bob, f"{RELEASE}/promote", {"reason": "I saw it"}).json()["stage"] == "production"


def test_without_the_rule_it_still_promotes_by_itself(fleet: Fleet, devices: list[Device]) -> None:
    assert finish_a_rollout(fleet, devices) == "production"


def test_one_admin_takes_no_gate_away_where_promotion_takes_two(fleet: Fleet) -> None:
    rule(fleet, "release.promote")
    body = {"scope": "*", "rules": []}
    one, other = fleet.headers(Role.ADMIN, name="alice"), fleet.headers(Role.ADMIN, name="bob")
    assert asks_for_another(fleet, one, "/api/v1/releases/gates", body, method="PUT")
    assert asks_for_another(fleet, other, "/api/v1/releases/gates", {**body, "rules": None}, method="PUT")
    assert audited(fleet, "release.gate") == []
    assert ask(fleet, other, "/api/v1/releases/gates", body, method="PUT").status_code == 200


def test_what_two_must_retract_one_does_not_put_away(fleet: Fleet, devices: list[Device]) -> None:
    rule(fleet, "release.retract")
    alice, bob = fleet.headers(Role.OPERATOR, name="alice"), fleet.headers(Role.OPERATOR, name="bob")
    assert asks_for_another(fleet, alice, f"{RELEASE}/archive", {"reason": "old"})
    assert ask(fleet, bob, f"{RELEASE}/archive", {"reason": "old"}).json()["stage"] == "archived"


def test_a_bound_person_does_not_ask_for_what_they_cannot_see(fleet: Fleet) -> None:
    """Else a lab's operator and one other would shut out what only the whole fleet's operators may."""
    rule(fleet, "device.revoke")
    assert ask(fleet, fleet.headers(Role.OPERATOR), "/api/v1/groups", {"name": "lab"}).status_code == 201
    device = fleet.enroll()
    bound = fleet.headers(Role.OPERATOR, name="carol", group="lab")
    assert ask(fleet, bound, f"/api/v1/devices/{device.id}/revoke").status_code == 404
    assert ask(fleet, bound, "/api/v1/enrollment-tokens", {"device": device.id}).status_code == 404
    assert asks_for_another(
        fleet, fleet.headers(Role.OPERATOR, name="bob"), f"/api/v1/devices/{device.id}/revoke"
    )


def test_the_page_asks_for_a_second_person_too(fleet: Fleet) -> None:
    rule(fleet, "device.revoke")
    device = fleet.enroll()
    token = fleet.token(Role.OPERATOR, name="alice")
    fleet.http.post("/login", data={"token": token})
    page = fleet.http.get(f"/devices/{device.id}").text
    proof = page.partition('name="proof" value="')[2].partition('"')[0]
    assert proof, page
    answer = fleet.http.post(
        f"/devices/{device.id}/decommission", data={"proof": proof, "confirm": device.id, "reason": "x"}
    )
    assert answer.status_code == 409, answer.text[:500]
    assert "LM-656" in answer.text
