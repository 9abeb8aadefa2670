"""Shadow and comparison over a real database: held, judged, and cleared away (rollouts 6)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import select

from limosa_contracts.errors import Conflict
from limosa_contracts.feedback import Kpi
from limosa_server.core import operate
from limosa_server.rollouts import rollout_plan
from limosa_server.rollouts.rollout_rows import rollout_of, write_rollout
from limosa_server.tables.modes import ArmRow, KpiWindowRow, ShadowAssignmentRow
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import AssignmentRow, DecisionRow, RolloutRow
from tests.fleet_server.databases import Database
from tests.fleet_server.rollouts.held_fleet import AB, SHADOW, HeldFleet
from tests.fleet_server.small_fleet import spec_of


@pytest.fixture
def fleet(database: Database) -> Iterator[HeldFleet]:
    made = HeldFleet(database.place(), database.folder, devices=6)
    yield made
    made.close()


def challengers(fleet: HeldFleet) -> set[str]:
    with fleet.store.read() as tx:
        return set(tx.exec(select(ShadowAssignmentRow.device)).all())


@pytest.mark.both_databases
def test_challenger_that_agrees_completes_and_is_taken_away_again(fleet: HeldFleet) -> None:
    rollout = fleet.start(**SHADOW)
    fleet.pass_time(1)
    (canary,) = challengers(fleet)
    assert fleet.lanes(canary) == {"shadow": "2.0.0"}
    for number in range(9):
        for device in challengers(fleet):
            fleet.tell(device, "2.0.0", rev=number + 1, compared=200 + number, disagreed=2)
        fleet.pass_time(1)
    assert fleet.row(rollout).status == "COMPLETED", fleet.row(rollout).reason
    fleet.check_counts()
    fleet.pass_time(1)
    assert challengers(fleet) == set()
    assert all(fleet.lanes(device) == {} for device in fleet.names())
    assert set(fleet.running().values()) == {"1.0.0"}
    with fleet.store.read() as tx:
        assert tx.exec(select(AssignmentRow)).all() == []  # what answers was never named
        assert {row.stage for row in tx.exec(select(Release)).all()} == {"staging"}
        verdicts = [
            row.verdict for row in tx.exec(select(DecisionRow).where(DecisionRow.kind == "shadow")).all()
        ]
    assert verdicts == ["PASSED", "PASSED"]
    said = fleet.report(rollout)
    assert (said["advice"], said["devices"], said["pairs"][0]["rows"]) == ("passed", 6, 12)


def test_a_second_shadow_of_a_release_does_not_tell_what_the_first_has_seen(fleet: HeldFleet) -> None:
    first = fleet.start(**SHADOW)
    fleet.pass_time(1)
    (canary,) = challengers(fleet)
    fleet.tell(canary, "2.0.0", compared=400, disagreed=120)
    fleet.pass_time(8)
    assert fleet.report(first)["pairs"][0]["rows"] == 120
    second = fleet.start(**SHADOW)
    fleet.pass_time(1)
    for device in challengers(fleet):
        fleet.tell(device, "2.0.0", index=1, compared=50, disagreed=1)
    assert [one["rows"] for one in fleet.report(second)["pairs"]] == [len(challengers(fleet))]


def two_shadows(fleet: HeldFleet) -> tuple[int, int, str, float]:
    """The first has ended; the second has its canary. And that device, and when the first was under way."""
    first = fleet.start(**SHADOW)
    fleet.pass_time(1)
    (canary,) = challengers(fleet)
    fleet.tell(canary, "2.0.0", compared=400, disagreed=120)
    then = fleet.now
    fleet.pass_time(8)
    assert fleet.row(first).status == "FAILED"
    second = fleet.start(**SHADOW)
    fleet.pass_time(1)
    assert canary in challengers(fleet)
    return first, second, canary, then


def told(fleet: HeldFleet, rollout: int) -> tuple[int, list[int]]:
    """Rows that were compared, and rows of the pairs of classes that differ most."""
    said = fleet.report(rollout)
    return int(said["rows"]), [int(one["rows"]) for one in said["pairs"]]


@pytest.mark.both_databases
def test_windows_that_were_kept_through_an_outage_tell_nothing_to_a_later_shadow(fleet: HeldFleet) -> None:
    first, second, canary, then = two_shadows(fleet)
    fleet.tell(canary, "2.0.0", index=1, compared=300, disagreed=90, began=then)  # it was without a network
    fleet.tell(canary, "2.0.0", rev=2, compared=450, disagreed=130, began=then)  # the last of what it told
    assert told(fleet, second) == (0, [])
    fleet.tell(canary, "2.0.0", index=2, compared=50, disagreed=1)
    assert told(fleet, second) == (50, [1])
    assert told(fleet, first) == (400, [120])


@pytest.mark.both_databases
def test_report_of_a_shadow_that_has_ended_stays_when_the_release_is_in_the_shadow_again(
    fleet: HeldFleet,
) -> None:
    first, second, canary, _ = two_shadows(fleet)
    fleet.tell(canary, "2.0.0", index=1, compared=200, disagreed=7)
    assert told(fleet, first) == (400, [120])
    assert told(fleet, second) == (200, [7])


def test_device_that_has_no_clock_is_counted_when_it_tells(fleet: HeldFleet) -> None:
    first, second, canary, then = two_shadows(fleet)
    fleet.tell(canary, "2.0.0", rev=2, compared=450, disagreed=130, clock="none")  # known: of the first
    fleet.tell(canary, "2.0.0", index=1, compared=50, disagreed=2, began=then, clock="none")
    assert told(fleet, second) == (50, [2])
    assert told(fleet, first) == (400, [120])


def test_window_goes_on_while_a_newer_shadow_of_the_same_release_takes_the_lane(fleet: HeldFleet) -> None:
    older = fleet.start(**SHADOW)
    fleet.pass_time(1)
    (canary,) = challengers(fleet)
    fleet.tell(canary, "2.0.0", compared=60, disagreed=6)
    began = fleet.now
    newer = fleet.start(**SHADOW)
    fleet.pass_time(1)
    assert challengers(fleet) == {canary}
    fleet.tell(canary, "2.0.0", rev=2, compared=90, disagreed=8, began=began)
    fleet.tell(canary, "2.0.0", index=1, compared=40, disagreed=3)
    assert told(fleet, newer) == (40, [3])
    assert told(fleet, older) == (60, [6])


def test_challenger_that_disagrees_fails_on_the_canary_and_goes_no_further(fleet: HeldFleet) -> None:
    rollout = fleet.start(**SHADOW)
    fleet.pass_time(1)
    (canary,) = challengers(fleet)
    fleet.tell(canary, "2.0.0", compared=400, disagreed=120)
    fleet.pass_time(8)
    row = fleet.row(rollout)
    assert row.status == "FAILED"
    assert "70.00% of 400 rows on 1 device answered alike" in row.reason
    assert challengers(fleet) == set()
    assert [name for name, run in fleet.runs(rollout).items() if run.offered_at is not None] == [canary]


def test_shadow_that_compared_too_little_waits_and_then_asks(fleet: HeldFleet) -> None:
    rollout = fleet.start(**SHADOW)
    fleet.pass_time(6)
    (canary,) = challengers(fleet)
    fleet.tell(canary, "2.0.0", compared=60, disagreed=0)
    fleet.pass_time(3)
    row = fleet.row(rollout)
    assert (row.status, "40 rows more are needed; it waits for rows" in row.reason) == ("RUNNING", True)
    fleet.pass_time(6)
    row = fleet.row(rollout)
    assert (row.status, row.pause) == ("PAUSED", "inconclusive")


def test_shadow_and_an_update_of_the_same_model_take_nothing_from_each_other(fleet: HeldFleet) -> None:
    shadow = fleet.start(release="demo/motion@3.0.0", **SHADOW)
    fleet.pass_time(2)
    update = fleet.start()
    for number in range(9):
        for device in challengers(fleet):
            fleet.tell(device, "3.0.0", rev=number + 1, compared=500, disagreed=0)
        fleet.pass_time(1)
    assert fleet.row(update).status == "COMPLETED", fleet.row(update).reason
    assert fleet.row(shadow).status == "COMPLETED", fleet.row(shadow).reason
    assert set(fleet.running().values()) == {"2.0.0"}
    fleet.pass_time(1)
    assert all(fleet.lanes(device) == {"active": "2.0.0"} for device in fleet.names())


def test_newer_shadow_has_the_lane_of_the_older_one(fleet: HeldFleet) -> None:
    older = fleet.start(**SHADOW)
    fleet.pass_time(2)
    fleet.start(release="demo/motion@3.0.0", **SHADOW)
    fleet.pass_time(3)
    versions = {fleet.lanes(device).get("shadow") for device in challengers(fleet)}
    assert "3.0.0" in versions
    assert fleet.row(older).status != "COMPLETED"


def test_challenger_that_crashes_stops_its_rollout_and_nothing_else(fleet: HeldFleet) -> None:
    fleet.crashing = frozenset(fleet.names())
    rollout = fleet.start(**SHADOW)
    fleet.pass_time(6)
    assert fleet.row(rollout).status == "CANCELED"
    assert challengers(fleet) == set()
    assert set(fleet.running().values()) == {"1.0.0"}


def test_shadow_that_an_operator_cancels_with_rollback_is_taken_away_and_not_stuck(fleet: HeldFleet) -> None:
    rollout = fleet.start(**SHADOW)
    fleet.pass_time(2)
    assert challengers(fleet)
    with fleet.store.transaction() as tx:
        row = tx.get_one(RolloutRow, rollout)
        ended, _ = operate.cancel(rollout_of(row), now=fleet.now, by="ada", rollback=True)
        write_rollout(row, ended)
        tx.add(row)
    fleet.pass_time(3)
    assert fleet.row(rollout).status == "CANCELED"
    assert challengers(fleet) == set()


def test_device_without_a_champion_is_left_out_with_the_reason(fleet: HeldFleet) -> None:
    fleet.live(fleet.start())
    with fleet.store.read() as tx:
        planned = rollout_plan.make(tx, spec_of(**SHADOW), salt="s", now=fleet.now).plan
    assert {str(one) for one in planned.excluded.values()} == {
        "nothing to compare with: it answers with 2.0.0 already"
    }


def arms(fleet: HeldFleet, rollout: int) -> dict[str, str]:
    with fleet.store.read() as tx:
        return {row.device: row.arm for row in tx.exec(select(ArmRow).where(ArmRow.rollout == rollout)).all()}


def begin(fleet: HeldFleet, **more: object) -> int:
    rollout = fleet.start(waves=[{"name": "arm-b"}], **{**AB, **more})
    fleet.pass_time(4)
    return rollout


def click(fleet: HeldFleet, rollout: int, *, a: float, b: float) -> None:
    for number, (device, arm) in enumerate(sorted(arms(fleet, rollout).items())):
        mean = (a if arm == "a" else b) + 0.01 * (number % 3)
        version = "1.0.0" if arm == "a" else "2.0.0"
        fleet.tell(device, version, kpi=Kpi(n=100, total=100 * mean, squares=100 * mean * mean))


@pytest.mark.both_databases
def test_two_releases_are_held_side_by_side_and_the_better_one_is_recommended(fleet: HeldFleet) -> None:
    rollout = begin(fleet)
    drawn = arms(fleet, rollout)
    assert sorted(drawn.values()) == ["a", "a", "a", "b", "b", "b"]
    running = fleet.running()
    assert {device: running[device] for device in drawn} == {
        device: "1.0.0" if arm == "a" else "2.0.0" for device, arm in drawn.items()
    }
    click(fleet, rollout, a=0.3, b=0.5)
    early = fleet.report(rollout)
    assert (early["advice"], early["final"]) == ("wait", False)
    fleet.pass_time(12)
    row = fleet.row(rollout)
    assert (row.status, row.pause) == ("PAUSED", "manual")
    said = fleet.report(rollout)
    assert (said["advice"], said["final"], said["reported"]) == ("challenger", True, {"clicked": 600})
    assert fleet.next_of(rollout).startswith(f"`limosa rollout report {rollout}` says which is better")
    effect = said["kpis"][0]["effect"]
    assert effect["difference"] == pytest.approx(0.2, abs=0.02)
    assert effect["low"] > 0
    fleet.check_counts()


def test_comparison_that_is_resumed_completes_and_promotes_nothing(fleet: HeldFleet) -> None:
    rollout = begin(fleet)
    fleet.pass_time(12)
    with fleet.store.transaction() as tx:
        row = tx.get_one(RolloutRow, rollout)
        resumed, _, _ = operate.resume(rollout_of(row), (), now=fleet.now, by="ada")
        write_rollout(row, resumed)
        tx.add(row)
    fleet.pass_time(3)
    assert fleet.row(rollout).status == "COMPLETED"
    with fleet.store.read() as tx:
        assert {row.stage for row in tx.exec(select(Release)).all()} == {"staging"}


def test_device_that_was_away_at_the_start_joins_its_arm_when_it_is_back(fleet: HeldFleet) -> None:
    with fleet.store.read() as tx:
        planned = rollout_plan.make(
            tx, spec_of(waves=[{"name": "arm-b"}], **AB), salt="salt", now=fleet.now
        ).plan
    late = next(device for device, one in sorted(planned.arms.items()) if one.arm == "b")
    fleet.reach(late, online=False)
    rollout = begin(fleet)
    assert fleet.running()[late] == "1.0.0"
    fleet.reach(late, online=True)
    fleet.pass_time(3)
    assert fleet.running()[late] == "2.0.0"
    assert fleet.row(rollout).status == "RUNNING"


@pytest.mark.both_databases
def test_windows_that_come_twice_and_late_count_once(fleet: HeldFleet) -> None:
    rollout = begin(fleet)
    device = next(iter(arms(fleet, rollout)))
    version = fleet.running()[device]
    for rev, n in ((3, 30), (1, 10), (3, 30), (2, 20)):
        fleet.tell(device, version, rev=rev, kpi=Kpi(n=n, total=float(n), squares=float(n)))
    fleet.tell(device, version, index=1, kpi=Kpi(n=5, total=0.0, squares=0.0), labelled=(4, 3))
    with fleet.store.read() as tx:
        rows = tx.exec(select(KpiWindowRow)).all()
    assert sorted((row.kpi, row.n, row.total) for row in rows) == [
        ("accuracy", 4, 3.0), ("clicked", 5, 0.0), ("clicked", 30, 30.0)
    ]  # fmt: skip
    assert fleet.report(rollout)["reported"] == {"accuracy": 4, "clicked": 35}


def test_what_devices_said_before_they_were_drawn_is_known_and_not_counted(fleet: HeldFleet) -> None:
    for number, device in enumerate(fleet.names()):
        fleet.tell(device, "1.0.0", kpi=Kpi(n=10, total=float(number), squares=1.0))
    rollout = begin(fleet)
    with fleet.store.read() as tx:
        rows = tx.exec(select(ArmRow).where(ArmRow.rollout == rollout).order_by(ArmRow.device)).all()
    assert [row.before for row in rows] == [{"clicked": [10, float(number)]} for number in range(6)]
    assert fleet.report(rollout)["reported"] == {}
    champion = next(row.device for row in rows if row.arm == "a")
    fleet.tell(champion, "1.0.0", rev=2, kpi=Kpi(n=14, total=9.0, squares=9.0))  # the same window goes on
    assert fleet.report(rollout)["reported"] == {"clicked": 4}


def test_what_a_device_said_of_another_version_is_not_counted(fleet: HeldFleet) -> None:
    rollout = begin(fleet)
    for device in arms(fleet, rollout):
        fleet.tell(device, "3.0.0", kpi=Kpi(n=100, total=100.0, squares=100.0))
    assert fleet.report(rollout)["kpis"][0]["effect"] is None


def test_rollout_that_replaces_has_no_report(fleet: HeldFleet) -> None:
    rollout = fleet.start()
    with pytest.raises(Conflict, match="has no report"):
        fleet.report(rollout)
