"""The operator of one lab, with a token bound to its group, reaches for the rest of the fleet (trust 6.4)."""

from __future__ import annotations

from typing import Any

import httpx
from sqlmodel import select

from limosa_contracts.enrolment import REQUEST_SCHEMA
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_server.access.roles import Role
from limosa_server.tables.devices import Device as DeviceRow
from limosa_server.tables.devices import DeviceModel
from limosa_server.tables.groups import Membership
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import RolloutRow
from tests.fleet_server.world import SHA, Device, Fleet

CLEAN = "1.0.0"


def bound(fleet: Fleet, role: Role = Role.OPERATOR, *, team: str = "", group: str = "") -> dict[str, str]:
    return fleet.headers(role, name="lab-operator", team=team, group=group)


def group(fleet: Fleet, name: str, **fields: Any) -> None:
    made = fleet.http.post("/api/v1/groups", json={"name": name, **fields}, headers=fleet.headers())
    assert made.status_code == 201, made.text


def enrolled(fleet: Fleet, token: str = "", **fields: Any) -> Device:
    return fleet.enroll(token or fleet.enroll_token(**fields))


def enrol(fleet: Fleet, token: str) -> httpx.Response:
    stranger = Device(SigningKey.generate(Algorithm.P256))
    return fleet.http.post(
        "/api/v1/enroll", json={"schema": REQUEST_SCHEMA, "token": token, "csr": stranger.csr()}
    )


def listed(fleet: Fleet, headers: dict[str, str], **query: str) -> list[str]:
    answer = fleet.http.get("/api/v1/devices", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["items"]]


def groups_of(fleet: Fleet, device: str) -> set[str]:
    with fleet.state.store.read() as tx:
        return set(tx.exec(select(Membership.group).where(Membership.device == device)))


def test_who_runs_one_lab_does_not_make_the_whole_fleet_their_lab(fleet: Fleet) -> None:
    """The selector is the group's edge: who is held inside could set it to everybody, and revoke them."""
    group(fleet, "lab", selector="site=lab")
    mine = enrolled(fleet, labels={"site": "lab"}).id
    theirs = enrolled(fleet, labels={"site": "hq"}).id
    operator = bound(fleet, group="lab")
    assert listed(fleet, operator) == [mine]
    wider = fleet.http.patch("/api/v1/groups/lab", json={"selector": "site"}, headers=operator)
    assert wider.status_code == 403, wider.text
    assert listed(fleet, operator) == [mine]
    assert fleet.http.post(f"/api/v1/devices/{theirs}/revoke", headers=operator).status_code == 404
    described = fleet.http.patch("/api/v1/groups/lab", json={"description": "second floor"}, headers=operator)
    assert described.status_code == 200, "words about it harm nobody"
    narrower = {"selector": "site=lab,!old"}
    assert fleet.http.patch("/api/v1/groups/lab", json=narrower, headers=fleet.headers()).status_code == 200


def test_a_token_for_a_newcomer_does_not_take_the_place_of_a_device_that_came_meanwhile(fleet: Fleet) -> None:
    """cam-0100 was not there yet, so the lab's operator could make a token for that name, and wait."""
    group(fleet, "lab")
    group(fleet, "hq")
    operator = bound(fleet, group="lab")
    made = fleet.http.post("/api/v1/enrollment-tokens", json={"device": "cam-0100"}, headers=operator)
    assert made.status_code == 201, made.text
    real = enrolled(fleet, device="cam-0100", group="hq")
    access = fleet.access(real)
    refused = enrol(fleet, made.json()["token"])
    assert refused.status_code == 401, refused.text
    assert fleet.http.get("/v2/", headers=access).status_code == 200, "the real one is still let in"
    assert groups_of(fleet, "cam-0100") == {"hq"}


def test_a_name_that_somebody_else_has_a_token_out_for_is_not_taken_before_it_comes(fleet: Fleet) -> None:
    group(fleet, "lab")
    group(fleet, "hq")
    expected = fleet.enroll_token(device="cam-0200", group="hq")
    operator = bound(fleet, group="lab")
    taken = fleet.http.post("/api/v1/enrollment-tokens", json={"device": "cam-0200"}, headers=operator)
    assert taken.status_code == 404, taken.text
    assert fleet.enroll(expected).id == "cam-0200"
    assert groups_of(fleet, "cam-0200") == {"hq"}


def test_what_was_decommissioned_does_not_come_back_by_a_token_for_its_name(fleet: Fleet) -> None:
    """Scrapped and sold: `for good`, said the page, and a token for the name let it in again."""
    gone = enrolled(fleet, device="sold").id
    meanwhile = fleet.enroll_token(device=gone)
    headers = fleet.headers()
    assert fleet.http.post(f"/api/v1/devices/{gone}/decommission", headers=headers).status_code == 200
    assert enrol(fleet, meanwhile).status_code == 401
    again = fleet.http.post("/api/v1/enrollment-tokens", json={"device": gone}, headers=headers)
    assert (again.status_code, again.json()["code"]) == (409, "LM-414")
    with fleet.state.store.read() as tx:
        assert tx.get_one(DeviceRow, gone).state == "decommissioned"


def test_an_import_by_a_labs_operator_leaves_the_groups_of_others_alone(fleet: Fleet) -> None:
    """A row says in which groups a device shall be; those that the token may not touch do not count."""
    group(fleet, "lab")
    group(fleet, "canary")
    device = enrolled(fleet, group="lab").id
    added = fleet.http.post(
        "/api/v1/groups/canary/devices", json={"devices": [device]}, headers=fleet.headers()
    )
    assert added.status_code == 200, added.text
    operator = bound(fleet, group="lab")
    exported = fleet.http.get("/api/v1/devices:export", headers=operator).text
    assert "canary" not in exported, exported
    for text in (f"device,groups\n{device},lab\n", exported):
        done = fleet.http.post(
            "/api/v1/devices:import", content=text, headers={**operator, "Content-Type": "text/csv"}
        )
        assert done.json()["errors"] == [], done.text
        assert groups_of(fleet, device) == {"lab", "canary"}
    gone = fleet.http.post(
        "/api/v1/devices:import",
        content=f"device,groups\n{device},\n",
        headers={**operator, "Content-Type": "text/csv"},
    )
    assert gone.status_code == 200
    assert groups_of(fleet, device) == {"canary"}, "its own group it may leave"


def test_a_labs_operator_is_not_told_who_else_is_there(fleet: Fleet) -> None:
    """Whether a name exists, which labels others use, in which groups one's devices are beside one's own."""
    group(fleet, "lab")
    group(fleet, "secret-project")
    device = enrolled(fleet, group="lab").id
    other = enrolled(fleet, group="secret-project", labels={"customer-acme": "x"}).id
    fleet.http.post(
        "/api/v1/groups/secret-project/devices", json={"devices": [device]}, headers=fleet.headers()
    )
    operator = bound(fleet, group="lab")
    assert "customer-acme" not in fleet.http.get("/api/v1/devices:export", headers=operator).text
    assert listed(fleet, operator, group="secret-project") == [], "a filter is an answer too"

    def why(text: str) -> list[str]:
        answer: httpx.Response = fleet.http.post(
            "/api/v1/devices:import", content=text, headers={**operator, "Content-Type": "text/csv"}
        )
        return [str(one["why"]) for one in answer.json()["errors"]]

    assert why(f"device\n{other}\n") == why("device\nnowhere\n")
    assert why(f"device,groups\n{device},secret-project\n") == [
        one.replace("no-project", "secret-project") for one in why(f"device,groups\n{device},no-project\n")
    ]


def test_a_teams_token_does_not_guess_versions_of_other_teams(fleet: Fleet) -> None:
    with fleet.state.store.transaction() as tx:
        for name, model in (("one", "demo/motion"), ("two", "other/secret")):
            tx.add(DeviceRow(id=name, enrolled_at=fleet.clock.now))
            tx.flush()
            tx.add(
                DeviceModel(
                    device=name, model=model, phase="REJECTED", active_version="7.0.0", active_index=SHA,
                    updated_at=1.0,
                )
            )  # fmt: skip
    ours = bound(fleet, Role.VIEWER, team="demo")
    assert listed(fleet, ours, version="other/secret@7.0.0") == []
    assert listed(fleet, ours, version="7.0.0") == ["one"]
    assert listed(fleet, ours, state="trouble") == ["one"]
    assert listed(fleet, fleet.headers(), version="other/secret@7.0.0") == ["two"]


def test_the_lineage_of_a_release_names_no_rollout_of_another_group(fleet: Fleet) -> None:
    group(fleet, "lab")
    group(fleet, "hq")
    with fleet.state.store.transaction() as tx:
        tx.add(
            Release(
                model="demo/motion", version=CLEAN, index_sha256=SHA, release_counter=1, may_return_to=[],
                published_at=1.0, published_by="test", size_bytes=1,
            )
        )  # fmt: skip
        for number, target in enumerate(("lab", "hq"), start=1):
            tx.add(
                RolloutRow(
                    id=number, model="demo/motion", version=CLEAN, index_sha256=SHA, target=target,
                    spec={}, salt="s", fingerprint="f", status="COMPLETED", reason=f"all of {target}",
                    since=1.0, created_at=1.0, created_by="test",
                )
            )  # fmt: skip
    answer = fleet.http.get(
        f"/api/v1/releases/demo/motion/{CLEAN}/lineage", headers=bound(fleet, Role.VIEWER, group="lab")
    )
    assert answer.status_code == 200, answer.text
    assert [one["target"] for one in answer.json()["rollouts"]] == ["lab"]
