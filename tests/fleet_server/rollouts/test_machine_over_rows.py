"""What a rollout file asks for, as it happens over a real database (rollouts 2 to 4)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import select

from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.maintenance_window import MaintenanceWindows
from limosa_contracts.phases import Phase
from limosa_server.fleet import groups
from limosa_server.rollouts import rollout_plan
from limosa_server.rollouts.rollout_ingest import on_reports
from limosa_server.tables.devices import Device, DeviceModel
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import ApprovalRow, DecisionRow
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import SmallFleet, spec_of

pytestmark = pytest.mark.both_databases
ONE = [{"name": "all", "bake": "1s"}]
NEXT = "demo/motion@3.0.0"


@pytest.fixture
def fleet(database: Database) -> Iterator[SmallFleet]:
    made = SmallFleet(database.place(), database.folder)
    yield made
    made.close()


def states(fleet: SmallFleet, rollout: int) -> dict[str, str]:
    return {device: run.state for device, run in fleet.runs(rollout).items()}


def group_of(fleet: SmallFleet, name: str, *devices: str) -> None:
    with fleet.store.transaction() as tx:
        groups.create(tx, name, selector=None, description="", now=fleet.now, actor="test")
        groups.join(tx, name, devices, now=fleet.now)


def test_a_newer_rollout_of_half_the_devices_takes_only_those(fleet: SmallFleet) -> None:
    """Partial supersession: the rest of the older one goes on."""
    group_of(fleet, "half", "d2", "d3")
    older = fleet.start(waves=[{"name": "canary", "count": 1, "bake": "1h"}, {"name": "rest"}])
    fleet.controller.tick()
    newer = fleet.start(release=NEXT, group="half", waves=ONE)
    assert fleet.live(newer) == "COMPLETED"
    assert fleet.row(older).status == "RUNNING"
    assert {fleet.running()[name] for name in ("d2", "d3")} == {"3.0.0"}
    assert [state for name, state in sorted(states(fleet, older).items()) if name in ("d2", "d3")] == [
        "SUPERSEDED",
        "SUPERSEDED",
    ]
    fleet.check_counts()


def test_a_hotfix_with_priority_keeps_its_devices_against_what_comes_later(fleet: SmallFleet) -> None:
    group_of(fleet, "ill", "d0", "d1")
    hotfix = fleet.start(group="ill", priority=10, waves=[{"name": "all", "bake": "1h"}], abort=[])
    for _ in range(3):
        fleet.controller.tick()
        for device in fleet.names():
            fleet.answer(device)
        fleet.now += 1
    with fleet.store.read() as tx:
        spec = spec_of(release=NEXT)
        warnings = rollout_plan.make(tx, spec, salt="s", now=fleet.now).plan.warnings
    assert any(f"2 devices of it are with rollout {hotfix}, of higher priority" in one for one in warnings)
    later = fleet.start(release=NEXT, waves=ONE, abort=[])
    assert fleet.live(later) == "COMPLETED"
    assert states(fleet, later) == {
        "d0": "SUPERSEDED",
        "d1": "SUPERSEDED",
        "d2": "SUCCEEDED",
        "d3": "SUCCEEDED",
    }
    assert f"rollout {hotfix} has it" in fleet.runs(later)["d0"].reason
    assert fleet.running() == {"d0": "2.0.0", "d1": "2.0.0", "d2": "3.0.0", "d3": "3.0.0"}
    fleet.check_counts()


def test_a_rollout_that_waits_for_its_time_takes_nothing_from_one_that_runs(fleet: SmallFleet) -> None:
    running = fleet.start(waves=ONE)
    fleet.controller.tick()
    waiting = fleet.start(release=NEXT, waves=ONE, schedule={"start": "2024-01-01T00:00:00Z"})
    assert fleet.live(running) == "COMPLETED"
    assert fleet.row(waiting).status == "SCHEDULED"
    fleet.now = 1_704_067_200.0
    assert fleet.live(waiting) == "COMPLETED"
    assert set(fleet.running().values()) == {"3.0.0"}


def test_a_release_retracted_before_the_start_makes_the_rollout_invalid(fleet: SmallFleet) -> None:
    rollout = fleet.start(schedule={"start": "2024-01-01T00:00:00Z"})
    fleet.controller.tick()
    with fleet.store.transaction() as tx:
        release = tx.exec(select(Release).where(Release.version == "2.0.0")).one()
        release.retracted_at, release.retracted_by, release.retract_reason = fleet.now, "eva", "leaks"
        tx.add(release)
    fleet.controller.tick()
    assert fleet.row(rollout).status == "INVALID"
    assert "retracted" in fleet.row(rollout).reason
    assert set(states(fleet, rollout).values()) == {"CANCELED"}
    fleet.check_counts()


def enrol(fleet: SmallFleet, name: str, *, quarantined: bool = False) -> None:
    with fleet.store.transaction() as tx:
        tx.add(
            Device(
                id=name,
                enrolled_at=fleet.now,
                online=True,
                last_seen=fleet.now,
                capabilities={"arch": "x86_64", "runtimes": {"onnxruntime": "1.20.0"}},
            )
        )
        tx.flush()
        release = tx.exec(select(Release).where(Release.version == "2.0.0")).one()
        tx.add(
            DeviceModel(
                device=name,
                model="demo/motion",
                phase="COMMITTED",
                quarantined=[release.index_sha256] if quarantined else [],
                updated_at=fleet.now,
            )
        )
        groups.join(tx, "all", [name], now=fleet.now)


def test_a_device_that_joins_the_group_of_a_continuous_rollout_gets_the_release(fleet: SmallFleet) -> None:
    rollout = fleet.start(waves=ONE, target_selection="continuous", abort=[])
    fleet.live(rollout, seconds=8)
    assert (fleet.row(rollout).status, fleet.row(rollout).settled) == ("RUNNING", True)
    enrol(fleet, "e1")
    enrol(fleet, "e2", quarantined=True)
    fleet.live(rollout, seconds=6)
    runs = fleet.runs(rollout)
    assert runs["e1"].state == "SUCCEEDED"
    assert runs["e1"].wave == 1, "it came in through the tail"
    assert runs["e1"].size_bytes == 1000
    assert "e2" not in runs
    assert fleet.running()["e1"] == "2.0.0"
    fleet.check_counts()
    with fleet.store.read() as tx:
        joined = tx.exec(select(DecisionRow).where(DecisionRow.kind == "joined")).all()
    assert [one.sentence.split("; ")[0] for one in joined] == ["1 device joined its group"]
    assert "quarantined" in joined[0].sentence


def test_the_next_release_for_a_group_takes_over_who_follows_it(fleet: SmallFleet) -> None:
    """Two continuous rollouts of a group: who joins gets the newer one, and only that."""
    older = fleet.start(waves=ONE, target_selection="continuous", abort=[])
    fleet.live(older, seconds=8)
    newer = fleet.start(release=NEXT, waves=ONE, target_selection="continuous", abort=[])
    fleet.live(newer, seconds=8)
    assert (fleet.row(older).status, fleet.row(newer).status) == ("COMPLETED", "RUNNING")
    enrol(fleet, "e1")
    fleet.live(newer, seconds=6)
    assert "e1" not in fleet.runs(older)
    assert fleet.running()["e1"] == "3.0.0"


def test_a_device_that_leaves_before_its_turn_is_let_go_and_may_come_back(fleet: SmallFleet) -> None:
    waves = [{"name": "canary", "count": 1, "bake": "30s"}, {"name": "rest", "bake": "1s"}]
    rollout = fleet.start(waves=waves, target_selection="continuous")
    fleet.live(rollout, seconds=4)
    waiting = next(name for name, state in states(fleet, rollout).items() if state == "QUEUED")
    with fleet.store.transaction() as tx:
        groups.leave(tx, "all", [waiting])
    fleet.live(rollout, seconds=2)
    assert states(fleet, rollout)[waiting] == "REMOVED"
    with fleet.store.transaction() as tx:
        groups.join(tx, "all", [waiting], now=fleet.now)
    fleet.live(rollout, seconds=60)
    run = fleet.runs(rollout)[waiting]
    assert (run.state, run.attempt, run.wave) == ("SUCCEEDED", 2, 2)
    fleet.check_counts()


def test_maintenance_windows_travel_in_the_document_and_not_on_the_way_back(fleet: SmallFleet) -> None:
    fleet.bad = {"d1", "d2", "d3"}
    schedule = {"maintenance_windows": [{"cron": "0 2 * * *", "duration": "2h", "tz": "Europe/Berlin"}]}
    rollout = fleet.start(schedule=schedule)
    fleet.controller.tick()
    first = next(name for name, run in fleet.runs(rollout).items() if run.offered_at is not None)
    document = fleet.document(first)
    assert document is not None
    window = document.models[0].window
    assert window is not None
    windows = MaintenanceWindows.parse(window)
    assert (windows.windows[0].tz, windows.windows[0].duration_s) == ("Europe/Berlin", 7200.0)
    assert fleet.live(rollout) == "ROLLED_BACK"
    document = fleet.document(first)
    assert document is not None
    assert document.models[0].window is None


def test_nothing_is_offered_while_no_window_is_open_and_nothing_may_be_downloaded(
    fleet: SmallFleet,
) -> None:
    schedule = {
        "maintenance_windows": [{"cron": "0 2 * * *", "duration": "2h", "tz": "UTC"}],
        "download_outside_window": False,
    }
    rollout = fleet.start(waves=ONE, schedule=schedule)  # it is 22:13:20 UTC
    assert fleet.live(rollout) == "PAUSED"
    row = fleet.row(rollout)
    assert (row.pause, row.resume_at) == ("outside_window", 1_700_013_600.0)
    fleet.now = 1_700_013_600.0
    with fleet.store.transaction() as tx:
        for device in tx.exec(select(Device)).all():
            device.last_seen = fleet.now
    fleet.controller.tick()
    assert fleet.live(rollout) == "COMPLETED"


def test_a_higher_priority_acts_first_in_each_tick(fleet: SmallFleet) -> None:
    """So nobody is offered a release that a hotfix of the same tick takes away again."""
    low = fleet.start(waves=ONE)
    high = fleet.start(release=NEXT, waves=ONE, priority=5)
    fleet.controller.tick()
    assert {run.offered_at for run in fleet.runs(low).values()} == {None}
    assert fleet.live(high) == "COMPLETED"
    assert fleet.row(low).status == "SUPERSEDED"


def test_an_older_rollout_with_priority_takes_over_when_its_approval_comes(fleet: SmallFleet) -> None:
    first = fleet.start(release=NEXT, waves=ONE, priority=5, approval={"approvers": 1, "four_eyes": False})
    fleet.controller.tick()
    second = fleet.start(waves=[{"name": "all", "bake": "1h"}], abort=[])
    fleet.controller.tick()
    assert (fleet.row(first).status, fleet.row(second).status) == ("WAITING_FOR_APPROVAL", "RUNNING")
    with fleet.store.transaction() as tx:
        tx.add(ApprovalRow(rollout=first, actor="ada", verdict="approved", at=fleet.now))
    assert fleet.live(first) == "COMPLETED"
    assert set(fleet.running().values()) == {"3.0.0"}


def test_a_full_disk_is_tried_again_when_there_is_room_and_the_server_was_restarted_meanwhile(
    fleet: SmallFleet,
) -> None:
    """3.9, over rows: what the refusal was about is kept with the execution."""
    rollout = fleet.start(
        waves=ONE,
        abort=[],
        retry={"attempts": 1, "backoff": "2s"},
        timeouts={"offer": "20s", "in_progress": "10m"},
    )
    fleet.controller.tick()
    refuse(fleet, "d0", "disk_full", free_bytes=1000)
    run = fleet.runs(rollout)["d0"]
    assert (run.state, run.attempt, run.failed_as) == ("QUEUED", 2, "REJECTED")
    fleet.check_counts()
    fleet.now += 5
    fleet.restart()
    fleet.controller.tick()
    assert fleet.runs(rollout)["d0"].offered_at == run.offered_at, "the same free space is not tried again"
    with fleet.store.transaction() as tx:
        device = tx.get_one(Device, "d0")
        device.resources, device.last_seen = {"disk_free_bytes": 500 << 20}, fleet.now
        tx.add(device)
    assert fleet.live(rollout, seconds=90) == "COMPLETED"  # it is looked at again once a minute
    run = fleet.runs(rollout)["d0"]
    assert (run.state, run.attempt) == ("SUCCEEDED", 2)
    document = fleet.document("d0")
    assert document is not None
    assert document.models[0].attempt == 2


def refuse(fleet: SmallFleet, name: str, code: str, *, free_bytes: int) -> None:
    """The device says that it cannot take what its document names."""
    document = fleet.document(name)
    assert document is not None
    wanted = document.models[0]
    event = UpdateEvent(
        device=name,
        key=f"{wanted.rollout}-{wanted.attempt}-REJECTED",
        kind="update",
        model=wanted.model,
        version=wanted.version,
        index_sha256=wanted.index_sha256,
        manifest_sha256="",
        rollout=wanted.rollout,
        attempt=wanted.attempt,
        phase=Phase.REJECTED,
        reason=Reason(code=code, message="no room"),
        at=fleet.now,
        boot="b",
    )
    with fleet.store.transaction() as tx:
        device = tx.get_one(Device, name)
        device.resources = {"disk_free_bytes": free_bytes}
        tx.add(device)
        tx.flush()
        on_reports(tx, {name: [event]}, fleet.now)


def test_a_release_that_fails_is_undone_to_the_version_that_the_file_names(fleet: SmallFleet) -> None:
    """`on_failure.to`: 1.0.0 is what everybody ran, but nobody shall run it any more; and only where the
    release itself allows the return (trust 2.4)."""
    with fleet.store.transaction() as tx:
        fleet._add_release(tx, "1.0.1", 9)
        release = tx.exec(select(Release).where(Release.version == "2.0.0")).one()
        release.may_return_to = ["1.0.0", "1.0.1"]
    back = {"rollback": "all", "to": "1.0.1"}
    first = fleet.start(on_failure=back)
    fleet.bad = {name for name, run in fleet.runs(first).items() if run.wave > 0}
    assert fleet.live(first) == "ROLLED_BACK"
    committed = next(name for name, run in fleet.runs(first).items() if run.wave == 0)
    assert fleet.running()[committed] == "1.0.1"
    assert fleet.runs(first)[committed].return_version == "1.0.1"
    assert fleet.row(first).reason.endswith("every device runs 1.0.1")


def test_a_version_to_go_back_to_that_the_release_does_not_allow_leaves_the_device_named(
    fleet: SmallFleet,
) -> None:
    with fleet.store.transaction() as tx:
        fleet._add_release(tx, "1.0.1", 9)
    rollout = fleet.start(on_failure={"rollback": "all", "to": "1.0.1"})
    fleet.bad = {name for name, run in fleet.runs(rollout).items() if run.wave > 0}
    assert fleet.live(rollout) == "ROLLBACK_INCOMPLETE"
    committed = next(name for name, run in fleet.runs(rollout).items() if run.wave == 0)
    assert fleet.running()[committed] == "2.0.0"
    assert "does not allow a return to 1.0.1" in fleet.runs(rollout)[committed].reason
