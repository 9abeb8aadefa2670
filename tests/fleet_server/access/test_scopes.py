"""A token that is bound to a group or a team sees and changes nothing beyond it, on any route (trust 6.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from fastapi.routing import APIRoute

from limosa_server.access import tokens
from limosa_server.access.roles import Role
from limosa_server.api.routers import ROUTERS
from limosa_server.fleet import groups
from limosa_server.pages.routers import PAGE_ROUTERS
from limosa_server.tables.access import ApiToken
from limosa_server.tables.devices import Device, DeviceModel
from limosa_server.tables.releases import Release
from limosa_server.tables.reports import EventRow
from limosa_server.tables.rollouts import RolloutRow
from tests.fleet_server.world import SHA, Fleet

INSIDE, OUTSIDE = "inside-group", "outside-group"
OURS, THEIRS = "demo/motion", "other/secretmodel"
DEVICES: Final = {INSIDE: "inside-device", OUTSIDE: "outside-device"}
FILLED: Final[dict[str, str]] = {
    "device": DEVICES[INSIDE], "name": INSIDE, "group": INSIDE, "team": "demo", "model": "motion",
    "version": "1.0.0", "role": "demo", "rollout_id": "1", "token_id": "aaaaaaaaaaaa",
    "digest": f"sha256:{SHA}", "reference": "1.0.0", "upload": "0", "action": "pause",
}  # fmt: skip


@pytest.fixture
def two(fleet: Fleet) -> Fleet:
    """Two groups with a device each, two teams with a release and a rollout each."""
    with fleet.state.store.transaction() as tx:
        for number, (group, model) in enumerate(((INSIDE, OURS), (OUTSIDE, THEIRS)), start=1):
            device = DEVICES[group]
            tx.add(Device(id=device, enrolled_at=fleet.clock.now))
            tx.flush()
            groups.create(tx, group, selector=None, description="", now=fleet.clock.now, actor="test")
            groups.join(tx, group, [device], now=fleet.clock.now)
            sha = str(number) * 64
            tx.add(_release(model, sha))
            tx.add(_rollout(number, group, model, sha))
            for one in (OURS, THEIRS):
                tx.add(
                    DeviceModel(
                        device=device, model=one, phase="COMMITTED", active_version="1.0.0",
                        active_index=sha, updated_at=1.0,
                    )
                )  # fmt: skip
                tx.add(_event(device, one))
    return fleet


def _release(model: str, sha: str) -> Release:
    return Release(
        model=model, version="1.0.0", index_sha256=sha, release_counter=1, may_return_to=[],
        published_at=1.0, published_by="test", size_bytes=1,
    )  # fmt: skip


def _rollout(number: int, group: str, model: str, sha: str) -> RolloutRow:
    spec = {"release": f"{model}@1.0.0", "group": group, "waves": [{"name": "all"}]}
    return RolloutRow(
        id=number, model=model, version="1.0.0", index_sha256=sha, target=group, spec=spec, salt="s",
        fingerprint="f", status="COMPLETED", reason="done", since=1.0, created_at=1.0, created_by="test",
    )  # fmt: skip


def _event(device: str, model: str) -> EventRow:
    return EventRow(
        device=device, key=f"{device}-{model}", kind="update", body="{}",
        model=model, version="1.0.0", rollout="", attempt=1, phase="COMMITTED", reason_code="", reason="",
        at=1.0, received_at=1.0,
    )  # fmt: skip


def bound(fleet: Fleet, role: Role = Role.ADMIN, *, team: str = "", group: str = "") -> str:
    with fleet.state.store.transaction() as tx:
        return tokens.create_api_token(
            tx, name="bound", role=role, team=team, group=group, created_by="test",
            at=fleet.clock.now, expires_at=fleet.clock.now + 3600,
        ).text  # fmt: skip


def bound_by(fleet: Fleet, way: str) -> str:
    return bound(fleet, team="demo") if way == "team" else bound(fleet, group=INSIDE)


def headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def routes() -> Iterator[tuple[str, str]]:
    """(method, path) of every route of the API."""
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute):
                for method in sorted((route.methods or set()) - {"HEAD"}):
                    yield method, route.path


def filled(path: str) -> str:
    return re.sub(r"\{(\w+)(?::path)?\}", lambda found: FILLED.get(found[1], "1"), path)


def told(answer: httpx.Response) -> str:
    return answer.text if answer.headers.get("content-type", "").startswith(("application/", "text/")) else ""


@pytest.mark.parametrize("way", ["team", "group"])
def test_no_route_tells_a_bound_token_of_what_is_outside(two: Fleet, way: str) -> None:
    token = bound_by(two, way)
    hidden = [THEIRS] if way == "team" else [OUTSIDE, DEVICES[OUTSIDE]]
    open_routes = []
    for method, path in routes():
        if method != "GET" or path in ("/metrics", "/healthz"):
            continue
        answer = two.http.get(filled(path), headers=headers(token))
        assert answer.status_code < 500, (path, answer.text)
        assert not [name for name in hidden if name in told(answer)], (path, answer.text)
        if answer.status_code == 200:
            open_routes.append(path)
    assert {"/api/v1/devices", "/api/v1/groups", "/api/v1/releases", "/api/v1/rollouts"} <= set(open_routes)


@pytest.mark.parametrize(("way", "outside"), [("team", "other"), ("group", OUTSIDE)])
def test_no_route_changes_what_is_outside(two: Fleet, way: str, outside: str) -> None:
    """The same table from the other side: the token of the one, the names of the other."""
    token = bound_by(two, way)
    there = {
        "device": DEVICES[OUTSIDE],
        "name": OUTSIDE,
        "group": OUTSIDE,
        "team": "other",
        "rollout_id": "2",
    }
    named = set(there) if way == "group" else {"team", "rollout_id"}
    with two.state.store.read() as tx:
        before = tx.get_one(RolloutRow, 2).status, tx.get_one(Device, DEVICES[OUTSIDE]).state
    for method, path in routes():
        if (
            method == "GET"
            or not named & set(re.findall(r"\{(\w+)", path))
            or path.startswith("/api/v1/device/")
        ):
            continue
        aimed = filled(re.sub(r"\{(\w+)\}", lambda found: there.get(found[1], found[0]), path))
        answer = two.http.request(method, aimed, json={}, headers=headers(token))
        assert answer.status_code in (403, 404), (method, aimed, answer.status_code, answer.text)
    with two.state.store.read() as tx:
        after = tx.get_one(RolloutRow, 2).status, tx.get_one(Device, DEVICES[OUTSIDE]).state
    assert after == before


def test_a_route_that_keeps_to_no_scope_is_closed_to_bound_tokens(two: Fleet) -> None:
    for way in ("team", "group"):
        token = bound_by(two, way)
        for method, path in (
            ("GET", "/api/v1/audit"),
            ("POST", "/api/v1/groups"),
            ("POST", "/api/v1/mirrors"),
        ):
            answer = two.http.request(method, path, json={}, headers=headers(token))
            assert (answer.status_code, answer.json()["code"]) == (403, "LM-401"), (path, answer.text)


def test_an_operator_of_a_group_starts_rollouts_on_it_alone(two: Fleet) -> None:
    mine = headers(bound(two, Role.OPERATOR, group=INSIDE))
    spec = {"release": f"{OURS}@1.0.0", "waves": [{"name": "all"}]}
    for target in ({"group": OUTSIDE}, {"selector": "site=lab"}):
        for path in ("/api/v1/rollouts", "/api/v1/rollouts/plan"):
            refused = two.http.post(path, json={**spec, **target}, headers=mine)
            assert (refused.status_code, refused.json()["code"]) == (403, "LM-401"), refused.text
    allowed = two.http.post("/api/v1/rollouts/plan", json={**spec, "group": INSIDE}, headers=mine)
    assert allowed.status_code == 200, allowed.text


@pytest.mark.both_databases
def test_nobody_hands_out_more_than_they_have(two: Fleet) -> None:
    lab_admin = headers(bound(two, group=INSIDE))
    for fields in ({}, {"group": OUTSIDE}, {"team": "demo"}):
        body: dict[str, Any] = {"name": "x", "role": "operator", **fields}
        assert two.http.post("/api/v1/tokens", json=body, headers=lab_admin).status_code == 403
    own = two.http.post(
        "/api/v1/tokens", json={"name": "x", "role": "operator", "group": INSIDE}, headers=lab_admin
    )
    assert own.status_code == 201
    listed = two.http.get("/api/v1/tokens", headers=lab_admin).json()["items"]
    assert {one["group"] for one in listed} == {INSIDE}
    with two.state.store.read() as tx:
        whole = [row.id for row in tx.exec(_whole())]
    assert all(
        two.http.delete(f"/api/v1/tokens/{one}", headers=lab_admin).status_code == 404 for one in whole
    )


def _whole() -> Any:
    from sqlmodel import select

    return select(ApiToken).where(ApiToken.group == "")


def test_a_token_of_a_group_that_is_not_there_is_not_made(two: Fleet) -> None:
    answer = two.http.post(
        "/api/v1/tokens", json={"name": "x", "role": "viewer", "group": "nowhere"}, headers=two.headers()
    )
    assert answer.status_code == 404


def test_an_enrolment_token_of_a_groups_operator_is_for_that_group(two: Fleet) -> None:
    mine = headers(bound(two, Role.OPERATOR, group=INSIDE))
    made = two.http.post("/api/v1/enrollment-tokens", json={}, headers=mine)
    assert (made.status_code, made.json()["group"]) == (201, INSIDE)
    for body in ({"group": OUTSIDE}, {"device": DEVICES[OUTSIDE]}):
        assert two.http.post("/api/v1/enrollment-tokens", json=body, headers=mine).status_code in (403, 404)


@pytest.mark.parametrize("way", ["team", "group"])
def test_no_page_shows_a_bound_visitor_what_is_outside(two: Fleet, way: str) -> None:
    token = bound_by(two, way)
    hidden = [THEIRS] if way == "team" else [OUTSIDE, DEVICES[OUTSIDE]]
    signed_in = two.http.post("/login", data={"token": token})
    assert signed_in.status_code == 303, signed_in.text
    seen = []
    for router in PAGE_ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and "GET" in (route.methods or ()) and "stream" not in route.path:
                answer = two.http.get(filled(route.path))
                assert answer.status_code < 500, (route.path, answer.text)
                assert not [name for name in hidden if name in answer.text], route.path
                if answer.status_code == 200:
                    seen.append(route.path)
    assert {"/devices", "/rollouts", "/releases"} <= set(seen)
    assert two.http.get("/").headers["location"] == "/rollouts", "the overview is of the whole fleet"
