"""Devices that leave: revoked, decommissioned, replaced by new hardware under the same name."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from limosa_contracts.desired import PAYLOAD_TYPE, DesiredState
from limosa_contracts.dsse import Envelope
from limosa_contracts.status import Status
from limosa_contracts.topics import Suffix, device_topic
from limosa_server.access.roles import Role
from limosa_server.assembly import make_director
from limosa_server.fleet.presence import later
from limosa_server.reports import report_rows
from limosa_server.rollouts.controller import Controller
from limosa_server.tables.devices import Device as DeviceRow
from limosa_server.tables.devices import DeviceCertificate, DeviceModel
from limosa_server.tables.groups import Group, Membership
from limosa_server.tables.releases import Release
from limosa_server.tables.reports import OutboxRow
from limosa_server.tables.rollouts import AssignmentRow, DesiredDocument, ExecutionRow
from tests.fleet_server.fleet.conftest import Limosa
from tests.fleet_server.fleet.real_agent import running_agent
from tests.fleet_server.mqtt_device import connected
from tests.fleet_server.obedient import live, obey, publish, start
from tests.fleet_server.secured_broker import Secured
from tests.fleet_server.world import Device, Fleet, as_batch
from tests.support.processes import Processes, script
from tests.support.waiting import wait_until


def row_of(fleet: Fleet, device: str) -> DeviceRow:
    with fleet.state.store.read() as tx:
        return tx.get_one(DeviceRow, device)


def groups_of(fleet: Fleet, device: str) -> list[str]:
    with fleet.state.store.read() as tx:
        return sorted(tx.exec(select(Membership.group).where(Membership.device == device)))


def last_words(document: DesiredDocument) -> str:
    state = DesiredState.parse(Envelope.parse(document.envelope, max_bytes=65536).payload)
    assert state.decommissioned is not None
    assert state.models == ()
    return state.decommissioned.reason


def post(fleet: Fleet, device: str, what: str, **body: Any) -> Any:
    path = f"/api/v1/devices/{device}/{what}"
    return fleet.http.post(path, json=body, headers=fleet.headers(Role.OPERATOR))


def test_a_scrapped_device_leaves_groups_rollouts_and_broker_and_its_record_stays(
    fleet: Fleet, devices: list[Device], controller: Controller, limosa: Limosa
) -> None:
    rollout = start(fleet, fleet.headers(Role.OPERATOR))["id"]
    controller.tick()
    told = [one for one in devices if _document(fleet, one.id)]
    assert told, "somebody has been offered the release"
    scrapped = told[0]
    left_over = fleet.enroll_token(device=scrapped.id)
    assert limosa("device", "decommission", scrapped.id, "--reason", "water damage") == 0
    row = row_of(fleet, scrapped.id)
    assert (row.state, row.ended_reason, row.online) == ("decommissioned", "water damage", False)
    assert groups_of(fleet, scrapped.id) == []
    with fleet.state.store.read() as tx:
        assert tx.get_one(Group, "all").devices == len(devices) - 1
        run = tx.get_one(ExecutionRow, (rollout, scrapped.id))
        assert run.state == "REMOVED"
        assert "water damage" in run.reason
        assert tx.exec(select(AssignmentRow).where(AssignmentRow.device == scrapped.id)).first() is None
        assert last_words(tx.get_one(DesiredDocument, scrapped.id)) == "water damage"
        cleared = tx.exec(select(OutboxRow.topic).where(OutboxRow.payload == b"", OutboxRow.retain)).all()
        assert device_topic(scrapped.id, Suffix.STATUS) in cleared
        certificates = tx.exec(select(DeviceCertificate).where(DeviceCertificate.device == scrapped.id))
        assert all(one.revoked_at for one in certificates)
    assert fleet.http.post(
        "/api/v1/device/token", data=scrapped.assertion_form(fleet.clock.now)
    ).status_code in (401, 403)
    late = fleet.http.post("/api/v1/enroll", json={
        "schema": "limosa.enroll/1", "token": left_over, "csr": scrapped.csr(),
    })  # fmt: skip
    assert late.status_code == 401
    assert post(fleet, scrapped.id, "decommission").status_code == 200  # twice is as often as once
    live(fleet, controller, [one for one in devices if one is not scrapped])
    shown = fleet.http.get(f"/api/v1/rollouts/{rollout}", headers=fleet.headers()).json()
    assert shown["status"] == "PAUSED"  # it was the only canary, and an empty wave blocks (rollouts 3.2)
    audited = fleet.http.get("/api/v1/audit", headers=fleet.headers()).json()["items"]
    (entry,) = [one for one in audited if one["action"] == "device.decommission"]
    assert entry["after"] == {"reason": "water damage", "groups": ["all"], "rollouts": [rollout]}


def _document(fleet: Fleet, device: str) -> bool:
    with fleet.state.store.read() as tx:
        return tx.get(AssignmentRow, (device, "demo/motion")) is not None


def test_new_hardware_takes_a_devices_place_with_name_groups_labels_and_models(
    fleet: Fleet, devices: list[Device], controller: Controller
) -> None:
    start(fleet, fleet.headers(Role.OPERATOR))
    live(fleet, controller, devices)
    old = devices[0]
    labels = {"labels": {"site": "attic"}}
    put = fleet.http.put(f"/api/v1/devices/{old.id}/labels", json=labels, headers=fleet.headers())
    assert put.status_code == 200
    made = post(fleet, old.id, "replace", serial="NEW-1")
    assert made.status_code == 201
    assert row_of(fleet, old.id).state == "active"  # the old one goes on until the new one is there
    token = made.json()["token"]
    wrong = fleet.http.post(
        "/api/v1/enroll",
        json={"schema": "limosa.enroll/1", "token": token, "csr": old.csr(), "serial": "OTHER"},
    )
    assert wrong.status_code == 401
    new = fleet.enroll(token, serial="NEW-1")
    new.session = old.session + 1  # drawn when its outbox was made
    assert new.id == old.id
    assert groups_of(fleet, new.id) == ["all"]
    shown = fleet.http.get(f"/api/v1/devices/{new.id}", headers=fleet.headers()).json()
    assert shown["labels"] == {"site": "attic"}
    assert shown["serial"] == "NEW-1"
    assert shown["models"] == []
    stale = fleet.http.post("/api/v1/device/token", data=old.assertion_form(fleet.clock.now))
    assert stale.status_code in (401, 403)
    obey(fleet, new)
    with fleet.state.store.read() as tx:
        assert tx.get_one(DeviceModel, (new.id, "demo/motion")).active_version == "1.0.0"
    taken = fleet.http.put(f"/api/v1/devices/{new.id}/labels", json={"labels": {}}, headers=fleet.headers())
    assert taken.json()["labels"] == {"site": "hq"}  # what the first token said, which selectors saw


def test_a_decommissioned_devices_name_is_not_given_to_new_hardware(fleet: Fleet) -> None:
    device = fleet.enroll()
    post(fleet, device.id, "decommission")
    refused = post(fleet, device.id, "replace")
    assert (refused.status_code, refused.json()["code"]) == (409, "LM-414")


def test_a_will_that_comes_late_never_wins(fleet: Fleet) -> None:
    device = fleet.enroll()

    def say(online: bool, session: int) -> bool:
        with fleet.state.store.transaction() as tx:
            return report_rows.presence(tx, device.id, online=online, session=session, now=fleet.clock.now)

    assert say(True, 7)
    assert say(True, 8)
    assert not say(False, 7)
    assert row_of(fleet, device.id).online
    known: dict[str, Status] = {}
    for status in (Status(online=True, session=9), Status(online=False, session=8)):
        later(known, device.id, status)  # both came in one batch
    assert known[device.id] == Status(online=True, session=9)
    assert say(False, 8)
    assert not row_of(fleet, device.id).online


@pytest.mark.needs_mosquitto
def test_the_old_hardwares_last_will_does_not_hide_the_new_one(
    secured: Secured, processes: Processes, tmp_path: Path
) -> None:
    fleet = secured.fleet
    with running_agent(secured, processes, tmp_path / "old") as old:
        will = row_of(fleet, old.id).presence_session
        token = post(fleet, old.id, "replace").json()["token"]
        assert old.process.stop() == 0
        old.wait_for(online=False)
        with running_agent(secured, processes, tmp_path / "new", token=token) as new:
            assert new.id == old.id
            assert row_of(fleet, new.id).presence_session > will
            with fleet.state.store.transaction() as tx:
                late = report_rows.presence(tx, new.id, online=False, session=will, now=fleet.clock.now)
            assert not late
            assert new.online()


@pytest.mark.needs_mosquitto
def test_what_the_broker_retains_of_a_decommissioned_device_is_gone(secured: Secured) -> None:
    fleet, device = secured.fleet, secured.fleet.enroll()
    with connected(device.id, port=secured.broker.port, tls=secured.tls(device)) as link:
        topic = device_topic(device.id, Suffix.STATUS)
        link.publish(topic, Status(online=True, session=5).encode(), retain=True)
        wait_until(lambda: row_of(fleet, device.id).online, timeout_s=20, what="it is online")
        post(fleet, device.id, "decommission")

        def empty() -> bool:
            with fleet.state.store.read() as tx:
                return tx.exec(select(OutboxRow)).first() is None

        wait_until(empty, timeout_s=20, what="the broker has everything")
        assert not row_of(fleet, device.id).online


def test_reports_of_a_device_that_left_are_not_taken(fleet: Fleet) -> None:
    device = fleet.enroll()
    access = fleet.access(device)
    post(fleet, device.id, "decommission")
    answer = fleet.http.post("/api/v1/device/reports", json=as_batch(device.event("a")), headers=access)
    assert answer.status_code == 403


def told(fleet: Fleet, device: Device) -> DesiredState:
    """What a decommissioned device is answered when it asks for access, under the director's key."""
    answer = fleet.http.post("/api/v1/device/token", data=device.assertion_form(fleet.clock.now))
    assert answer.status_code == 403, answer.text
    envelope = Envelope.parse(answer.json()["desired"].encode(), max_bytes=65536)
    return DesiredState.parse(envelope.verify(fleet.state.director_key.public, payload_type=PAYLOAD_TYPE))


def test_a_device_that_was_away_for_months_is_told_by_the_refusal_it_gets(fleet: Fleet) -> None:
    """Its document had ended, and the director's epoch was another one meanwhile."""
    device, thief = fleet.enroll(), fleet.enroll()
    post(fleet, device.id, "decommission", reason="sold")
    first = told(fleet, device)
    assert first.decommissioned is not None
    assert first.decommissioned.reason == "sold"
    assert told(fleet, device).order == first.order
    fleet.clock.now += 40 * 86400
    later = told(fleet, device)
    assert later.order > first.order
    assert later.expires > fleet.clock.now
    bumped = fleet.http.post("/api/v1/server/epoch/bump", json={}, headers=fleet.headers())
    assert bumped.status_code == 200
    assert told(fleet, device).epoch == bumped.json()["epoch"]
    rows = fleet.http.get("/api/v1/audit", params={"limit": 200}, headers=fleet.headers()).json()["items"]
    assert [row["object"] for row in rows if row["action"] == "device.farewell"] == [
        f"device {device.id}"
    ] * 3, "each document once, however often it asks"
    post(fleet, thief.id, "revoke", reason="stolen")
    refused = fleet.http.post("/api/v1/device/token", data=thief.assertion_form(fleet.clock.now))
    assert (refused.status_code, "desired" in refused.json()) == (403, False), "that may be undone"


def test_a_device_that_was_sold_is_not_sent_back_with_the_others(
    fleet: Fleet, devices: list[Device], controller: Controller
) -> None:
    """It had the release and its farewell. Then the rollout was rolled back: its farewell was written over
    by what it should run, and the rollout waited for it."""
    start(fleet, fleet.headers(Role.OPERATOR))
    live(fleet, controller, devices)
    publish(fleet, "3.0.0", 3)
    with fleet.state.store.transaction() as tx:
        release = tx.exec(select(Release).where(Release.version == "3.0.0")).one()
        release.may_return_to = ["1.0.0"]
        tx.add(release)
    rollout = start(fleet, fleet.headers(Role.OPERATOR), release="demo/motion@3.0.0")["id"]
    for _ in range(3):
        controller.tick()
        for device in devices:
            obey(fleet, device)
        fleet.clock.now += 1
    with fleet.state.store.read() as tx:
        of_it = select(ExecutionRow.device).where(ExecutionRow.rollout == rollout)
        through = tx.exec(of_it.where(ExecutionRow.state == "SUCCEEDED")).one()
    sold = next(device for device in devices if device.id == through)
    post(fleet, sold.id, "decommission", reason="sold")
    first = told(fleet, sold)
    path = f"/api/v1/rollouts/{rollout}"
    canceled = fleet.http.post(
        f"{path}/cancel", json={"rollback": True}, headers=fleet.headers(Role.OPERATOR)
    )
    assert canceled.json()["status"] == "ROLLING_BACK"
    controller.tick()
    with fleet.state.store.transaction() as tx:
        make_director(fleet.state).issue_many(tx, [sold.id], now=fleet.clock.now)
        assert tx.exec(select(AssignmentRow).where(AssignmentRow.device == sold.id)).first() is None
    assert fleet.http.get(path, headers=fleet.headers()).json()["status"] == "ROLLED_BACK"
    assert told(fleet, sold) == first


def test_a_token_from_before_gets_the_same_refusal(fleet: Fleet) -> None:
    device = fleet.enroll()
    access = fleet.access(device)
    post(fleet, device.id, "decommission", reason="sold")
    answer = fleet.http.get("/api/v1/device/desired", headers=access)
    assert answer.status_code == 403
    assert answer.json()["desired"]
    assert "for good" in answer.json()["hint"], "not: make a token, and it is let in again"


def status_of(folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [script("limosa-agent"), "status", "--json", "--config", str(folder / "agent.toml")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


def knows(folder: Path) -> str:
    said = status_of(folder).get("decommissioned")
    return str(said["reason"]) if said else ""


def test_a_real_device_says_itself_that_it_was_taken_out(
    secured: Secured, processes: Processes, tmp_path: Path
) -> None:
    """It runs, and hears it from the broker; the log and `status` say so after a start too."""
    with running_agent(secured, processes, tmp_path / "agent") as agent:
        post(secured.fleet, agent.id, "decommission", reason="end of life")
        wait_until(lambda: knows(agent.folder) == "end of life", timeout_s=30, what="it knows")
        assert agent.process.running
        assert "is taken out of the fleet (end of life)" in agent.process.log()
        shown = subprocess.run(
            [script("limosa-agent"), "status", "--config", str(agent.folder / "agent.toml")],
            capture_output=True, text=True, timeout=60, check=False,
        ).stdout  # fmt: skip
        assert "taken out for good on" in shown
        assert "end of life" in shown


def test_a_real_device_that_was_off_hears_it_over_https_when_it_comes_back(
    secured: Secured, processes: Processes, tmp_path: Path
) -> None:
    """The broker does not let it in any more, nor does the server: it is told with the refusal."""
    with running_agent(secured, processes, tmp_path / "agent") as agent:
        agent.process.stop()
        post(secured.fleet, agent.id, "decommission", reason="lost in transit")
        secured.broker.stop()
        again = processes.start(
            [script("limosa-agent"), "run", "--config", str(agent.folder / "agent.toml")], name="again"
        )
        wait_until(lambda: knows(agent.folder) == "lost in transit", timeout_s=60, what="it knows")
        assert again.running
        again.stop()
