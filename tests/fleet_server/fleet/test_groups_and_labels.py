"""Groups and labels as operators change them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlmodel import select

from limosa_server.access.roles import Role
from limosa_server.reports.ingest import Incoming, Ingest
from limosa_server.tables.devices import DeviceLabel
from limosa_server.tables.groups import Membership
from tests.fleet_server.fleet.conftest import Limosa
from tests.fleet_server.obedient import start
from tests.fleet_server.world import Device, Fleet, as_batch


def members(fleet: Fleet, group: str) -> set[str]:
    with fleet.state.store.read() as tx:
        return set(tx.exec(select(Membership.device).where(Membership.group == group)))


def report(fleet: Fleet, device: Device, **labels: str) -> None:
    answer = fleet.http.post(
        "/api/v1/device/reports",
        json=as_batch(device.reported(labels=labels)),
        headers=fleet.access(device),
    )
    assert answer.status_code == 200, answer.text


def labels_of(fleet: Fleet, device: Device) -> Any:
    shown = fleet.http.get(f"/api/v1/devices/{device.id}", headers=fleet.headers()).json()
    return {key: (value, shown["label_sources"][key]) for key, value in shown["labels"].items()}


def test_a_group_gets_another_selector_and_goes_and_its_devices_stay(
    fleet: Fleet, devices: list[Device], limosa: Limosa, capsys: pytest.CaptureFixture[str]
) -> None:
    assert limosa("group", "create", "here", "--selector", "site=hq") == 0
    assert members(fleet, "here") == {devices[0].id, devices[1].id}
    assert limosa("group", "set", "here", "--selector", "site!=hq", "--description", "the others") == 0
    assert members(fleet, "here") == {devices[2].id}
    assert limosa("group", "set", "all", "--selector", "site=hq") == 2  # its members were named
    capsys.readouterr()
    assert limosa("group", "delete", "here") == 0
    assert capsys.readouterr().out == "group here is gone\n"
    assert members(fleet, "here") == set()
    assert members(fleet, "all") == {device.id for device in devices}
    assert limosa("group", "delete", "here") == 2


def test_a_group_that_a_rollout_is_about_does_not_go(fleet: Fleet, devices: list[Device]) -> None:
    start(fleet, fleet.headers(Role.OPERATOR))
    refused = fleet.http.delete("/api/v1/groups/all", headers=fleet.headers())
    assert (refused.status_code, refused.json()["code"]) == (409, "LM-667")


def test_a_change_of_a_group_that_somebody_else_made_first_is_refused(fleet: Fleet) -> None:
    fleet.http.post("/api/v1/groups", json={"name": "g"}, headers=fleet.headers())
    etag = fleet.http.get("/api/v1/groups/g", headers=fleet.headers()).headers["etag"]
    for expected in (200, 412):
        answer = fleet.http.patch(
            "/api/v1/groups/g", json={"description": "x"}, headers={**fleet.headers(), "If-Match": etag}
        )
        assert answer.status_code == expected


def test_an_operators_label_goes_before_the_tokens_and_that_before_the_devices(
    fleet: Fleet, limosa: Limosa
) -> None:
    device = fleet.enroll(fleet.enroll_token(labels={"site": "by-token"}))
    fleet.http.post("/api/v1/groups", json={"name": "g", "selector": "site=by-hand"}, headers=fleet.headers())
    report(fleet, device, site="by-device", gpu="", odd="-not a value-")
    assert labels_of(fleet, device) == {"gpu": ("", "device"), "site": ("by-token", "token")}
    assert limosa("device", "label", device.id, "site=by-hand", "tier=gold") == 0
    assert labels_of(fleet, device)["site"] == ("by-hand", "operator")
    assert members(fleet, "g") == {device.id}
    report(fleet, device, site="by-device-again")
    assert labels_of(fleet, device) == {"site": ("by-hand", "operator"), "tier": ("gold", "operator")}
    assert limosa("device", "label", device.id, "site-") == 0
    assert labels_of(fleet, device) == {"site": ("by-token", "token"), "tier": ("gold", "operator")}
    assert members(fleet, "g") == set()
    assert limosa("device", "label", device.id, "site-") == 0  # it has none: nothing changes
    assert limosa("device", "label", device.id, "=x") == 2


def test_reports_of_many_devices_in_one_batch_move_each_into_its_group(fleet: Fleet) -> None:
    found = [fleet.enroll() for _ in range(3)]
    fleet.http.post("/api/v1/groups", json={"name": "lab", "selector": "site=lab"}, headers=fleet.headers())

    ingest = Ingest(fleet.state)
    ingest.take(
        [
            Incoming(device=one.id, message=one.reported(labels={"site": "lab" if i else "hq"}))
            for i, one in enumerate(found)
        ]
    )
    assert members(fleet, "lab") == {found[1].id, found[2].id}
    with fleet.state.store.read() as tx:
        assert tx.get_one(DeviceLabel, (found[0].id, "site")).value == "hq"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"labels": []},
        {"labels": {"a b": "x"}},
        {"labels": {"a": 1}},
        {"labels": {str(i): "x" for i in range(40)}},
    ],
)
def test_labels_that_are_none_are_refused(fleet: Fleet, body: dict[str, Any]) -> None:
    device = fleet.enroll()
    for method in (fleet.http.patch, fleet.http.put):
        answer = method(f"/api/v1/devices/{device.id}/labels", json=body, headers=fleet.headers())
        assert answer.status_code == 422, answer.text
