"""A pin that comes while a rollout is under way: what is withdrawn, what goes on, what is not begun anew
(rollouts 6)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.phases import Phase
from limosa_server.access.scope import WHOLE, Scope
from limosa_server.fleet import groups
from limosa_server.rollouts import pins
from limosa_server.rollouts.rollout_ingest import on_reports
from limosa_server.tables.devices import Device
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import MODEL, SmallFleet

ONE = [{"name": "all", "bake": "1h"}]
RETRY = {"attempts": 2, "backoff": "2s"}


@pytest.fixture
def fleet(database: Database) -> Iterator[SmallFleet]:
    made = SmallFleet(database.place(), database.folder)
    yield made
    made.close()


def pin(fleet: SmallFleet, device: str, *, model: str = "", until: float | None = None) -> None:
    with fleet.store.transaction() as tx:
        pins.pin(tx, device, model=model, reason="demo unit", until=until, now=fleet.now, by="eva")


def refuses(fleet: SmallFleet, device: str, code: str) -> None:
    document = fleet.document(device)
    assert document is not None
    wanted = document.models[0]
    event = UpdateEvent(
        device=device, key=f"{wanted.rollout}-{wanted.attempt}-REJECTED", kind="update", model=MODEL,
        version=wanted.version, index_sha256=wanted.index_sha256, manifest_sha256="", rollout=wanted.rollout,
        attempt=wanted.attempt, phase=Phase.REJECTED, reason=Reason(code=code, message="no room"),
        at=fleet.now, boot="b",
    )  # fmt: skip
    with fleet.store.transaction() as tx:
        on_reports(tx, {device: [event]}, fleet.now)


def state(fleet: SmallFleet, rollout: int, device: str) -> tuple[str, str]:
    run = fleet.runs(rollout)[device]
    return run.state, run.reason_code


def test_what_a_device_was_offered_before_it_was_pinned_goes_on(fleet: SmallFleet) -> None:
    """It may be in the middle of its trial; those that wait behind it are let go, and nobody else is."""
    rollout = fleet.start(waves=ONE, rate={"max_in_progress": 1})
    fleet.controller.tick()
    pin(fleet, "d0")
    pin(fleet, "d2")
    assert state(fleet, rollout, "d0") == ("NOTIFIED", "")
    assert state(fleet, rollout, "d2") == ("CANCELED", "pinned")
    fleet.live(rollout, seconds=12)
    assert [state(fleet, rollout, name)[0] for name in ("d0", "d1", "d2", "d3")] == [
        "SUCCEEDED", "SUCCEEDED", "CANCELED", "SUCCEEDED"
    ]  # fmt: skip


def test_a_pin_for_another_model_withdraws_nothing(fleet: SmallFleet) -> None:
    rollout = fleet.start(waves=ONE, rate={"max_in_progress": 1})
    fleet.controller.tick()
    pin(fleet, "d2", model="demo/other")
    assert state(fleet, rollout, "d2") == ("QUEUED", "")
    pin(fleet, "d2", model=MODEL)
    assert state(fleet, rollout, "d2") == ("CANCELED", "pinned")


@pytest.mark.parametrize("how", ["refuses", "says nothing"])
def test_a_pinned_device_on_which_it_failed_is_not_offered_it_once_more(fleet: SmallFleet, how: str) -> None:
    """Pinned before it failed, it got a second attempt, and pinned a second later it got none."""
    timeouts = {"offer": "10s", "in_progress": "10m"}
    rollout = fleet.start(waves=ONE, abort=[], retry=RETRY, timeouts=timeouts, rate={"max_in_progress": 2})
    fleet.controller.tick()
    pin(fleet, "d0")
    if how == "refuses":
        refuses(fleet, "d0", "disk_full")
        refuses(fleet, "d1", "disk_full")
        assert state(fleet, rollout, "d1") == ("QUEUED", "disk_full"), "it is tried again with more room"
    ended = ("REJECTED", "disk_full") if how == "refuses" else ("TIMED_OUT", "timed_out")
    for _ in range(15):
        with fleet.store.transaction() as tx:
            device = tx.get_one(Device, "d0")
            device.last_seen, device.resources = fleet.now, {"disk_free_bytes": 500 << 20}
        fleet.controller.tick()
        fleet.now += 1
    assert state(fleet, rollout, "d0") == ended
    assert fleet.runs(rollout)["d0"].attempt == 1


def test_a_device_that_was_pinned_while_it_was_out_of_the_group_does_not_come_in_again(
    fleet: SmallFleet,
) -> None:
    """It had left before its turn, was pinned for a demo, and came back: the rollout took it."""
    waves = [{"name": "canary", "count": 1, "bake": "30s"}, {"name": "rest", "bake": "1s"}]
    rollout = fleet.start(waves=waves, target_selection="continuous")
    fleet.live(rollout, seconds=4)
    waiting = sorted(name for name, run in fleet.runs(rollout).items() if run.state == "QUEUED")[:2]
    with fleet.store.transaction() as tx:
        groups.leave(tx, "all", waiting)
    fleet.live(rollout, seconds=2)
    pin(fleet, waiting[0], until=fleet.now + 3600)
    with fleet.store.transaction() as tx:
        groups.join(tx, "all", waiting, now=fleet.now)
    fleet.live(rollout, seconds=60)
    assert [state(fleet, rollout, name)[0] for name in waiting] == ["REMOVED", "SUCCEEDED"]
    assert fleet.running()[waiting[0]] == "1.0.0"


def test_a_pin_that_has_ended_or_is_of_another_team_is_not_shown_as_one_that_holds(fleet: SmallFleet) -> None:
    pin(fleet, "d0", until=fleet.now + 60)
    pin(fleet, "d0", model=MODEL)
    with fleet.store.read() as tx:
        models = [model for model, _ in pins.shown(tx, "d0", scope=WHOLE, now=fleet.now)]
        assert models == ["every model", MODEL]
        assert [m for m, _ in pins.shown(tx, "d0", scope=Scope(team="other"), now=fleet.now)] == models[:1]
        assert [m for m, _ in pins.shown(tx, "d0", scope=WHOLE, now=fleet.now + 60)] == [MODEL]


def test_unpinning_for_every_model_leaves_the_pin_of_one_model(fleet: SmallFleet) -> None:
    pin(fleet, "d0")
    pin(fleet, "d0", model=MODEL)
    with fleet.store.transaction() as tx:
        assert pins.unpin(tx, "d0", model="")
        assert not pins.unpin(tx, "d0", model="")
        assert list(pins.standing(tx, MODEL, now=fleet.now)) == ["d0"]
        assert list(pins.standing(tx, "demo/other", now=fleet.now)) == []


def test_a_device_that_was_pinned_when_a_rollout_began_does_not_follow_it_later(fleet: SmallFleet) -> None:
    """The pin ends, the group changes: it comes with the next rollout, as the how-to says."""
    pin(fleet, "d1", until=fleet.now + 5)
    with fleet.store.transaction() as tx:
        groups.leave(tx, "all", ["d3"])
    fleet.now += 1
    rollout = fleet.start(waves=ONE, target_selection="continuous", abort=[])
    fleet.live(rollout, seconds=8)
    with fleet.store.transaction() as tx:
        groups.join(tx, "all", ["d3"], now=fleet.now)
    fleet.live(rollout, seconds=8)
    assert sorted(fleet.runs(rollout)) == ["d0", "d2", "d3"]


def test_a_device_that_leaves_the_group_while_it_waits_for_its_second_attempt_keeps_it(
    fleet: SmallFleet,
) -> None:
    """Who was offered the release keeps it: it has the bytes on its disk, and wants room for the rest."""
    rollout = fleet.start(waves=ONE, target_selection="continuous", abort=[], retry=RETRY)
    fleet.controller.tick()
    refuses(fleet, "d0", "disk_full")
    with fleet.store.transaction() as tx:
        groups.leave(tx, "all", ["d0"])
    fleet.controller.tick()
    assert state(fleet, rollout, "d0") == ("QUEUED", "disk_full")
