"""Three devices that speak HTTPS only, two releases, and a rollout over all of them."""

from __future__ import annotations

import hashlib
from typing import Any

from limosa_contracts.desired import PAYLOAD_TYPE, DesiredState
from limosa_contracts.dsse import Envelope
from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.phases import Phase
from limosa_contracts.reported import Installed, Reported, ReportedModel
from limosa_contracts.topics import Suffix
from limosa_server.rollouts.controller import Controller
from limosa_server.tables.releases import Release, Variant
from limosa_server.tables.rollouts import RolloutRow
from tests.fleet_server.world import BASELINE_ID, MODEL, Device, Fleet, as_batch

ROLLOUT = {
    "release": f"{MODEL}@1.0.0",
    "group": "all",
    "waves": [{"name": "canary", "count": 1, "bake": "5s"}, {"name": "rest", "bake": "0s"}],
    "abort": [{"threshold": 0.1, "min_executed": 1, "action": "rollback"}],
    "timeouts": {"silence": "1h"},
}


def index_of(version: str) -> str:
    return hashlib.sha256(version.encode()).hexdigest()


def publish(fleet: Fleet, version: str, counter: int) -> None:
    with fleet.state.store.transaction() as tx:
        row = Release(
            model=MODEL,
            version=version,
            index_sha256=index_of(version),
            release_counter=counter,
            may_return_to=[],
            published_at=fleet.clock.now,
            published_by="test",
            size_bytes=10,
        )
        tx.add(row)
        tx.flush()
        assert row.id is not None
        tx.add(
            Variant(
                release_id=row.id,
                position=0,
                name="v",
                manifest_sha256="0" * 64,
                size_bytes=10,
                baseline_id=BASELINE_ID,
            )
        )


def obey(fleet: Fleet, device: Device, *, phase: Phase = Phase.COMMITTED) -> None:
    """The device fetches its document over HTTPS, does what it says, and reports."""
    access = fleet.access(device)
    answer = fleet.http.get("/api/v1/device/desired", headers=access)
    if answer.status_code == 404:
        return
    key = fleet.state.trust.key("director").public
    state = DesiredState.parse(
        Envelope.parse(answer.content, max_bytes=65536).verify(key, payload_type=PAYLOAD_TYPE)
    )
    wanted = state.models[0] if state.models else None
    active = None
    messages = []
    if wanted is not None:
        if phase is Phase.COMMITTED:
            active = Installed(
                version=wanted.version, index_sha256=wanted.index_sha256, manifest_sha256="0" * 64
            )
        event = UpdateEvent(
            device=device.id,
            key=f"{wanted.rollout}/{wanted.attempt}/{phase.value}",
            kind="update",
            model=MODEL,
            version=wanted.version,
            index_sha256=wanted.index_sha256,
            manifest_sha256="",
            rollout=wanted.rollout,
            attempt=wanted.attempt,
            phase=phase,
            reason=Reason(code="golden_mismatch", message="2 of 8 golden vectors differ"),
            at=1.0,
            boot="b1",
        )
        messages.append(device.message(Suffix.EVENT, event.encode()))
    said = ReportedModel(
        model=MODEL,
        phase=phase,
        active=active,
        rollout=wanted.rollout if wanted else "",
        attempt=wanted.attempt if wanted else 1,
    )
    reported = Reported(
        device=device.id,
        agent="0.1.0",
        boot="b1",
        clock="ntp",
        at=1.0,
        desired=(state.epoch, state.counter),
        models=(said,),
    )
    messages.append(device.message(Suffix.REPORTED, reported.encode()))
    sent = fleet.http.post("/api/v1/device/reports", headers=access, json=as_batch(*messages))
    assert sent.status_code == 200, sent.text


def live(fleet: Fleet, controller: Controller, devices: list[Device], *, seconds: int = 20) -> None:
    for _ in range(seconds):
        controller.tick()
        for device in devices:
            obey(fleet, device)
        fleet.clock.now += 1
        with fleet.state.store.read() as tx:
            if tx.get_one(RolloutRow, 1).status == "COMPLETED":
                return


def start(fleet: Fleet, headers: dict[str, str], **fields: Any) -> dict[str, Any]:
    answer = fleet.http.post("/api/v1/rollouts", json={**ROLLOUT, **fields}, headers=headers)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found
