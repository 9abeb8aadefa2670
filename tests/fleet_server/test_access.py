"""Who may do what, and what is written down of it (trust 6.4, 6.5)."""

from __future__ import annotations

import pytest

from limosa_server.access.roles import Role
from tests.fleet_server.world import Fleet


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    "method, path, allowed",
    [
        ("GET", "/api/v1/devices", {*Role}),
        ("GET", "/api/v1/audit", {*Role}),
        ("POST", "/api/v1/enrollment-tokens", {Role.OPERATOR, Role.ADMIN}),
        ("POST", "/api/v1/tokens", {Role.ADMIN}),
        ("GET", "/api/v1/tokens", {Role.ADMIN}),
        ("PUT", "/api/v1/teams/demo/metadata", {Role.PUBLISHER, Role.ADMIN}),
        ("POST", "/v2/demo/motion/blobs/uploads/", {Role.PUBLISHER, Role.ADMIN}),
    ],
)
def test_each_role_reaches_what_it_is_for(fleet: Fleet, method: str, path: str, allowed: set[Role]) -> None:
    for role in Role:
        status = fleet.http.request(method, path, json={}, headers=fleet.headers(role)).status_code
        assert (status not in (401, 403)) == (role in allowed), (role, status)
    assert fleet.http.request(method, path, json={}).status_code == 401


def test_a_token_is_shown_once_stored_as_a_hash_and_ends_when_revoked(fleet: Fleet) -> None:
    admin = fleet.headers()
    made = fleet.http.post("/api/v1/tokens", json={"name": "ci", "role": "viewer"}, headers=admin).json()
    secret = made["token"].partition(".")[2]
    everything = b"".join(path.read_bytes() for path in fleet.state.settings.data.glob("limosa.db*"))
    assert secret.encode() not in everything
    assert secret not in fleet.http.get("/api/v1/tokens", headers=admin).text
    assert secret not in fleet.http.get("/api/v1/audit", headers=admin).text
    assert fleet.http.get("/api/v1/devices", headers=bearer(made["token"])).status_code == 200
    fleet.http.delete(f"/api/v1/tokens/{made['id']}", headers=admin)
    assert fleet.http.get("/api/v1/devices", headers=bearer(made["token"])).status_code == 401


def test_a_token_ends_when_it_expires(fleet: Fleet) -> None:
    token = fleet.token(Role.VIEWER, expires_in_s=60)
    assert fleet.http.get("/api/v1/devices", headers=bearer(token)).status_code == 200
    fleet.clock.now += 61
    assert fleet.http.get("/api/v1/devices", headers=bearer(token)).status_code == 401


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", "Basic !!", "Basic eDp5", "Bearer lmp_aaaaaaaaaaaa." + "A" * 43, "lmd_a.b"],
)
def test_credentials_that_are_none_are_refused(fleet: Fleet, header: str) -> None:
    answer = fleet.http.get("/api/v1/devices", headers={"Authorization": header})
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert answer.json()["hint"]


def test_only_the_registry_asks_for_basic_credentials_and_takes_them(fleet: Fleet) -> None:
    token = fleet.headers()["Authorization"].removeprefix("Bearer ")
    for path, status in (("/v2/", 200), ("/api/v1/devices", 401)):
        asked = fleet.http.get(path).headers["www-authenticate"]
        assert asked.startswith("Basic") == (status == 200)
        assert fleet.http.get(path, auth=("any", token)).status_code == status


def test_every_change_is_in_the_audit_trail_and_the_trail_is_whole(fleet: Fleet) -> None:
    device = fleet.enroll()
    fleet.http.post(f"/api/v1/devices/{device.id}/revoke", headers=fleet.headers())
    rows = fleet.http.get("/api/v1/audit", headers=fleet.headers()).json()["items"]
    assert [row["action"] for row in rows] == ["enrollment-token.create", "device.enroll", "device.revoke"]
    verified = fleet.http.get("/api/v1/audit/verify", headers=fleet.headers()).json()
    assert verified == {"rows": 3, "intact": True, "first_break": None}


def test_pages_follow_one_another_by_cursor(fleet: Fleet) -> None:
    names = sorted(fleet.enroll().id for _ in range(5))
    found: list[str] = []
    cursor = ""
    while True:
        query: dict[str, str | int] = {"limit": 2, "cursor": cursor}
        answer = fleet.http.get("/api/v1/devices", params=query, headers=fleet.headers()).json()
        found += [one["id"] for one in answer["items"]]
        if answer["next"] is None:
            break
        cursor = answer["next"]
    assert found == names


def test_metrics_name_no_device(fleet: Fleet) -> None:
    device = fleet.enroll()
    text = fleet.http.get("/metrics").text
    assert 'limosa_devices{state="offline"} 1.0' in text
    assert device.id not in text
