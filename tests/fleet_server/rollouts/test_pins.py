"""A device that no rollout touches, by name, with a reason and an end (rollouts 6)."""

from __future__ import annotations

from typing import Any

import pytest

from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_server.access.roles import Role
from limosa_server.fleet import groups
from limosa_server.rollouts.controller import Controller
from limosa_server.tables.releases import Release
from tests.fleet_server.obedient import ROLLOUT, live, start
from tests.fleet_server.world import MODEL, Device, Fleet


def pin(fleet: Fleet, device: Device, who: dict[str, str], **fields: Any) -> Any:
    body = {"reason": "customer demo on Friday", **fields}
    answer = fleet.http.put(f"/api/v1/devices/{device.id}/pin", json=body, headers=who)
    assert answer.status_code == 200, answer.text
    return answer.json()


def other_release() -> Release:
    return Release(
        model="demo/other", version="1.0.0", index_sha256="ab" * 32, release_counter=1,
        published_at=1.0, published_by="test", size_bytes=1,
    )  # fmt: skip


def excluded(fleet: Fleet, who: dict[str, str]) -> dict[str, str]:
    answer = fleet.http.post("/api/v1/rollouts/plan", json=ROLLOUT, headers=who)
    assert answer.status_code == 200, answer.text
    found: dict[str, str] = answer.json()["excluded"]
    return found


def test_a_pinned_device_is_left_out_with_its_reason_until_the_pin_ends(
    fleet: Fleet, devices: list[Device], operator: dict[str, str]
) -> None:
    made = pin(fleet, devices[0], operator, **{"for": "7d"})
    fleet.http.post("/login", data={"token": operator["Authorization"].removeprefix("Bearer ")})
    page = fleet.http.get(f"/devices/{devices[0].id}")
    assert "for every model: customer demo on Friday" in page.text
    assert made["until"] == pytest.approx(fleet.clock.now + 7 * 86400)
    why = excluded(fleet, operator)[devices[0].id]
    assert why.startswith("pinned: customer demo on Friday (by operator, until 20")
    fleet.clock.now += 7 * 86400 + 1
    assert excluded(fleet, fleet.headers(Role.OPERATOR)) == {}


def test_a_rollout_that_has_not_reached_it_leaves_it_out_and_completes(
    fleet: Fleet, devices: list[Device], controller: Controller, operator: dict[str, str]
) -> None:
    start(fleet, operator)
    for _ in range(2):
        controller.tick()
    path = "/api/v1/rollouts/1/executions"
    runs = fleet.http.get(path, headers=operator).json()["items"]
    waits = next(run["device"] for run in runs if run["state"] == "QUEUED")
    pin(fleet, next(one for one in devices if one.id == waits), operator)
    live(fleet, controller, devices)
    assert fleet.http.get("/api/v1/rollouts/1", headers=operator).json()["status"] == "COMPLETED"
    run_of = {run["device"]: run for run in fleet.http.get(path, headers=operator).json()["items"]}
    assert (run_of[waits]["state"], run_of[waits]["reason_code"]) == ("CANCELED", "pinned")
    assert "customer demo" in run_of[waits]["reason"]


def test_a_pin_for_one_model_leaves_the_others_free(
    fleet: Fleet, devices: list[Device], operator: dict[str, str]
) -> None:
    with fleet.state.store.transaction() as tx:
        tx.add(other_release())
    pin(fleet, devices[0], operator, model="demo/other")
    assert excluded(fleet, operator) == {}
    pin(fleet, devices[0], operator, model=MODEL)
    assert devices[0].id in excluded(fleet, operator)
    listed = fleet.http.get("/api/v1/pins", params={"model": MODEL}, headers=operator).json()["items"]
    assert [one["model"] for one in listed] == [MODEL]
    both = fleet.http.get("/api/v1/pins", params={"limit": 1}, headers=operator).json()
    rest = fleet.http.get("/api/v1/pins", params={"cursor": both["next"]}, headers=operator).json()
    assert [one["model"] for one in [*both["items"], *rest["items"]]] == [MODEL, "demo/other"]


@pytest.mark.parametrize(
    "body, status",
    [
        ({}, 422),
        ({"reason": ""}, 422),
        ({"reason": "x", "for": "0s"}, 422),
        ({"reason": "x", "model": "no slash"}, 422),
        ({"reason": "x", "typo": 1}, 422),
    ],
)
def test_a_pin_that_says_too_little_is_refused(
    fleet: Fleet, devices: list[Device], operator: dict[str, str], body: dict[str, Any], status: int
) -> None:
    answer = fleet.http.put(f"/api/v1/devices/{devices[0].id}/pin", json=body, headers=operator)
    assert answer.status_code == status, answer.text


def test_a_pin_for_a_model_that_nobody_has_is_refused_with_the_name_that_was_meant(
    fleet: Fleet, devices: list[Device], operator: dict[str, str]
) -> None:
    def refused(model: str, who: dict[str, str]) -> dict[str, Any]:
        body = {"reason": "x", "model": model}
        answer = fleet.http.put(f"/api/v1/devices/{devices[0].id}/pin", json=body, headers=who)
        assert answer.status_code == 404, answer.text
        found: dict[str, Any] = answer.json()
        return found

    misspelt = MODEL[:-1]
    assert MODEL in str(refused(misspelt, operator))
    with fleet.state.store.transaction() as tx:
        tx.add(other_release())
    assert "limosa release list" in str(refused("quite/different", operator))
    bound = {"Authorization": f"Bearer {fleet.token(Role.OPERATOR, team='alien')}"}
    assert MODEL not in str(refused("alien/" + MODEL.partition("/")[2], bound))


def test_who_may_pin_and_what_is_recorded(
    fleet: Fleet, devices: list[Device], operator: dict[str, str]
) -> None:
    path = f"/api/v1/devices/{devices[0].id}/pin"
    assert fleet.http.put(path, json={"reason": "x"}, headers=fleet.headers(Role.VIEWER)).status_code == 403
    team = {"Authorization": f"Bearer {fleet.token(Role.OPERATOR, team='other')}"}
    assert fleet.http.put(path, json={"reason": "x", "model": MODEL}, headers=team).status_code == 403
    assert fleet.http.delete(path, headers=operator).status_code == 404
    pin(fleet, devices[0], operator)
    assert fleet.http.delete(path, headers=operator).status_code == 200
    audit = fleet.http.get("/api/v1/audit", headers=fleet.headers()).json()["items"]
    assert {"device.pin", "device.unpin"} <= {one["action"] for one in audit}


def test_the_commands(
    fleet: Fleet,
    devices: list[Device],
    operator: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LIMOSA_SERVER", str(fleet.http.base_url))
    monkeypatch.setenv("LIMOSA_TOKEN", operator["Authorization"].removeprefix("Bearer "))
    monkeypatch.setenv("NO_COLOR", "1")

    def limosa(*args: str) -> tuple[int, str]:
        return run(make_host(), prog_name="limosa", args=list(args)), capsys.readouterr().out

    name = devices[0].id
    assert limosa("device", "pin", name, "--reason", "demo", "--for", "2h")[0] == 0
    code, shown = limosa("device", "pins")
    assert (code, name in shown, "demo" in shown) == (0, True, True)
    assert limosa("device", "unpin", name) == (0, f"device {name} is pinned no more\n")
    assert name not in limosa("device", "pins")[1]


def test_a_bound_token_sees_and_ends_the_pins_within_its_bounds(
    fleet: Fleet, devices: list[Device], operator: dict[str, str]
) -> None:
    """trust 6.4: a team sees those of its models and of every model, a group those of its devices."""
    with fleet.state.store.transaction() as tx:
        groups.create(tx, "desk", selector=None, description="", now=fleet.clock.now, actor="test")
        groups.join(tx, "desk", [devices[0].id], now=fleet.clock.now)
    first, other = devices[0].id, devices[1].id
    pin(fleet, devices[0], operator)
    pin(fleet, devices[0], operator, model=MODEL)
    pin(fleet, devices[1], operator, model=MODEL)
    alien = {"Authorization": f"Bearer {fleet.token(Role.OPERATOR, team='alien')}"}
    desk = {"Authorization": f"Bearer {fleet.token(Role.OPERATOR, group='desk')}"}

    def listed(path: str, who: dict[str, str]) -> list[tuple[str, str]]:
        answer = fleet.http.get(path, headers=who)
        assert answer.status_code == 200, answer.text
        return [(one["device"], one["model"]) for one in answer.json()["items"]]

    assert listed("/api/v1/pins", alien) == [(first, "")]
    assert listed("/api/v1/pins", desk) == [(first, ""), (first, MODEL)]
    assert listed(f"/api/v1/devices/{first}/pins", alien) == [(first, "")]
    for model in ("", MODEL):
        query = {"model": model}
        answer = fleet.http.delete(f"/api/v1/devices/{first}/pin", params=query, headers=alien)
        assert answer.status_code == 403, "who is bound to a team ends no pin of the others"
    assert fleet.http.delete(f"/api/v1/devices/{other}/pin", headers=desk).status_code == 404
    assert len(listed("/api/v1/pins", operator)) == 3
