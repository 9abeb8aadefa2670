"""Set so, an action is done when a second person asks for the same (issue: two-person rule)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from sqlmodel import select

from limosa_server.access.roles import Role
from limosa_server.access.two_person import confirm
from limosa_server.errors import SecondPersonNeeded
from limosa_server.tables.access import ApiToken, AuditRow
from limosa_server.tables.devices import Device
from tests.fleet_server.world import Fleet

RULED = ("device.revoke", "server.epoch", "token.create")


@pytest.fixture
def ruled(fleet: Fleet) -> Fleet:
    fleet.state.settings = replace(fleet.state.settings, two_person=RULED)
    return fleet


def person(fleet: Fleet, name: str, role: Role = Role.ADMIN) -> dict[str, str]:
    from limosa_server.access import tokens

    with fleet.state.store.transaction() as tx:
        text = tokens.create_api_token(
            tx, name=name, role=role, team="", created_by="test",
            at=fleet.clock.now, expires_at=fleet.clock.now + 10 * 86400,
        ).text  # fmt: skip
    return {"Authorization": f"Bearer {text}"}


def revoke(fleet: Fleet, device: str, headers: dict[str, str]) -> int:
    answer = fleet.http.post(f"/api/v1/devices/{device}/revoke", headers=headers)
    assert answer.status_code in (200, 409), answer.text
    if answer.status_code == 409:
        assert answer.json()["code"] == "LM-656"
    return answer.status_code


def state_of(fleet: Fleet, device: str) -> str:
    with fleet.state.store.read() as tx:
        return tx.get_one(Device, device).state


def test_one_person_alone_revokes_nothing_however_often(ruled: Fleet) -> None:
    device = ruled.enroll().id
    alice = person(ruled, "alice", Role.OPERATOR)
    assert [revoke(ruled, device, alice) for _ in range(3)] == [409, 409, 409]
    assert state_of(ruled, device) == "active"
    waiting = ruled.http.get("/api/v1/server/second-person", headers=alice).json()["items"]
    assert [(one["action"], one["asked_by"]) for one in waiting] == [("device.revoke", "alice")]


def test_the_second_person_does_it_and_both_are_written_down(ruled: Fleet) -> None:
    device = ruled.enroll().id
    assert revoke(ruled, device, person(ruled, "alice", Role.OPERATOR)) == 409
    assert revoke(ruled, device, person(ruled, "bob", Role.OPERATOR)) == 200
    assert state_of(ruled, device) == "revoked"
    with ruled.state.store.read() as tx:
        rows = tx.exec(select(AuditRow).where(AuditRow.object == f"device {device}")).all()
    said = [(row.action, row.actor.split(" ")[-1]) for row in rows if "revoke" in row.action]
    assert said == [("device.revoke.ask", "alice"), ("device.revoke", "bob")]


def test_what_two_have_asked_for_is_that_and_nothing_else(ruled: Fleet) -> None:
    one, other = ruled.enroll().id, ruled.enroll().id
    assert revoke(ruled, one, person(ruled, "alice", Role.OPERATOR)) == 409
    assert revoke(ruled, other, person(ruled, "bob", Role.OPERATOR)) == 409
    assert (state_of(ruled, one), state_of(ruled, other)) == ("active", "active")


def test_two_who_ask_for_different_things_in_one_name_have_not_agreed(ruled: Fleet) -> None:
    """One asked for a token that reads, the other for one of the same name that may do all."""
    from limosa_server.access.tokens import split

    def asks(name: str, role: str) -> str:
        token = person(ruled, name)["Authorization"].removeprefix("Bearer ")
        who = Asker(token_id=split(token)[0], name=name, actor=f"token {split(token)[0]} {name}")
        return confirm(ruled.state, who, action="token.create", object="token ci", detail={"role": role})

    for name, role in (("alice", "viewer"), ("bob", "admin")):
        with pytest.raises(SecondPersonNeeded):
            asks(name, role)
    assert asks("carol", "admin") == "bob"


def asker(fleet: Fleet, name: str, *, made_by: str = "test") -> Asker:
    from limosa_server.access import tokens

    with fleet.state.store.transaction() as tx:
        drawn = tokens.create_api_token(
            tx, name=name, role=Role.ADMIN, team="", created_by=made_by, at=fleet.clock.now,
            expires_at=fleet.clock.now + 86400,
        )  # fmt: skip
    return Asker(token_id=drawn.id, name=name, actor=f"token {drawn.id} {name}")


def ask(fleet: Fleet, who: Asker) -> str:
    return confirm(fleet.state, who, action="server.epoch", object="server")


def test_whoever_made_the_token_that_asked_first_is_no_second_person(ruled: Fleet) -> None:
    """The puppet asks, and its maker confirms: the line is looked at from both ends."""
    eva = asker(ruled, "eva")
    puppet = asker(ruled, "bob", made_by=eva.actor)
    for who in (puppet, eva):
        with pytest.raises(SecondPersonNeeded):
            ask(ruled, who)
    assert ask(ruled, asker(ruled, "carol")) == "bob"


def test_what_a_token_asked_for_that_was_revoked_since_is_confirmed_by_nobody(ruled: Fleet) -> None:
    """It had been stolen: whoever stole it waited for somebody to do the same in good faith."""
    stolen = asker(ruled, "dave")
    with pytest.raises(SecondPersonNeeded):
        ask(ruled, stolen)
    with ruled.state.store.transaction() as tx:
        tx.get_one(ApiToken, stolen.token_id).revoked_at = ruled.clock.now
    with pytest.raises(SecondPersonNeeded):
        ask(ruled, asker(ruled, "carol"))


@dataclass(frozen=True)
class Asker:
    token_id: str
    name: str
    actor: str


def test_nobody_is_their_own_second_person(ruled: Fleet) -> None:
    """Neither with another token of the same name, nor with one that they have made."""
    ruled.state.settings = replace(ruled.state.settings, two_person=("device.revoke",))
    device = ruled.enroll().id
    alice = person(ruled, "alice")
    assert revoke(ruled, device, alice) == 409
    assert revoke(ruled, device, person(ruled, "alice")) == 409
    made = ruled.http.post("/api/v1/tokens", json={"name": "puppet", "role": "operator"}, headers=alice)
    assert made.status_code == 201
    puppet = {"Authorization": f"Bearer {made.json()['token']}"}
    assert revoke(ruled, device, puppet) == 409
    told = ruled.http.post(f"/api/v1/devices/{device}/revoke", headers=puppet).json()
    assert "alice asked before" in str(told), "who waits for nobody learns why nothing happens"
    assert state_of(ruled, device) == "active"


def test_an_admin_makes_no_second_admin_alone(ruled: Fleet) -> None:
    body = {"name": "carol", "role": "admin"}
    first = ruled.http.post("/api/v1/tokens", json=body, headers=person(ruled, "alice"))
    assert (first.status_code, first.json()["code"]) == (409, "LM-656")
    assert ruled.http.post("/api/v1/tokens", json=body, headers=person(ruled, "bob")).status_code == 201


def test_what_nobody_confirmed_within_a_day_is_asked_for_anew(ruled: Fleet) -> None:
    device = ruled.enroll().id
    assert revoke(ruled, device, person(ruled, "alice", Role.OPERATOR)) == 409
    ruled.clock.now += 86401
    assert revoke(ruled, device, person(ruled, "bob", Role.OPERATOR)) == 409
    assert state_of(ruled, device) == "active"


def test_without_the_setting_one_person_is_enough(fleet: Fleet) -> None:
    device = fleet.enroll().id
    assert revoke(fleet, device, person(fleet, "alice", Role.OPERATOR)) == 200


def test_a_device_that_renews_in_a_loop_is_told_to_stop(fleet: Fleet) -> None:
    device = fleet.enroll()
    statuses = []
    for _ in range(7):
        headers = fleet.access(device)
        answer = fleet.http.post("/api/v1/device/renew", json={"csr": device.csr()}, headers=headers)
        statuses.append(answer.status_code)
    assert statuses[0] == 200
    assert (statuses[-1], answer.json()["code"]) == (429, "LM-657")
    fleet.clock.now += 3601
    headers = fleet.access(device)
    answer = fleet.http.post("/api/v1/device/renew", json={"csr": device.csr()}, headers=headers)
    assert answer.status_code == 200
