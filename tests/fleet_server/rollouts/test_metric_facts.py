"""What a look reads of the database: whose numbers, from when, and nothing else (rollouts 5.2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, update
from sqlmodel import col, select

from limosa_server.core.judging.samples import Comparison, Sample
from limosa_server.rollouts import metric_facts
from limosa_server.rollouts.rollout_rows import rollout_of, wave_of
from limosa_server.tables.devices import Device
from limosa_server.tables.habits import DeviceHabit
from limosa_server.tables.reports import EventRow, WindowRow
from limosa_server.tables.rollouts import ExecutionRow
from tests.fleet_server.compared_fleet import COMPARED, HOUR_S, ComparedFleet, sqlite_in
from tests.fleet_server.small_fleet import MODEL


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComparedFleet]:
    """A canary that has baked for an hour; everybody has told two hours of the past and that one."""
    made = ComparedFleet.with_a_past(sqlite_in(tmp_path_factory.mktemp("first")), devices=60, hours=2)
    made.start(**COMPARED)
    made.hour()
    yield made
    made.store.close()


@pytest.fixture
def fleet(first: ComparedFleet, tmp_path: Path) -> Iterator[ComparedFleet]:
    made = first.copy(sqlite_in(tmp_path))
    yield made
    made.store.close()


def look(fleet: ComparedFleet, *, after_s: float = HOUR_S) -> Comparison:
    with fleet.store.read() as tx:
        rollout, waves = rollout_of(fleet.row(1)), [wave_of(wave) for wave in fleet.waves(1)]
        found = metric_facts.comparison_of(tx, rollout, waves, now=fleet.now + after_s)
    assert found is not None
    return found


def count(sample: Sample, arm: str) -> float:
    return sum(sum(stratum.treated if arm == "treated" else stratum.control) for stratum in sample.strata)


def one_of(fleet: ComparedFleet, arm: str) -> str:
    return min(fleet.cohort(1, 0, arm))


def test_both_arms_are_read_against_their_own_past(fleet: ComparedFleet) -> None:
    found = look(fleet)
    assert found.devices == (20, 40)
    assert (found.look.number, found.look.of) == (2, 4)
    latency = found.sample("latency")
    assert latency.own_before
    assert (latency.treated, latency.control) == (20, 40)
    assert {stratum.name for stratum in latency.strata} == {"-/1.0.0/lab", "-/1.0.0/hq"} or len(
        latency.strata
    ) == 1
    assert found.sample("memory").treated == 0
    assert count(found.sample("failures"), "treated") == 0


def test_memory_is_compared_where_devices_tell_it(fleet: ComparedFleet) -> None:
    with fleet.store.transaction() as tx:
        tx.execute(update(WindowRow).values(memory_bytes=100_000_000))
        tx.execute(
            update(WindowRow).where(col(WindowRow.version) == "2.0.0").values(memory_bytes=150_000_000)
        )
    memory = look(fleet).sample("memory")
    assert memory.own_before
    assert {value for stratum in memory.strata for value in stratum.treated} == {0.405465}
    assert {value for stratum in memory.strata for value in stratum.control} == {0.0}


def test_a_device_that_believes_it_is_1970_is_placed_by_the_servers_clock(fleet: ComparedFleet) -> None:
    before = look(fleet)
    with fleet.store.transaction() as tx:
        tx.execute(update(WindowRow).values(started_at=col(WindowRow.started_at) % 1000))
    assert look(fleet).samples == before.samples


def test_what_the_canary_did_with_the_old_version_meanwhile_is_not_held_against_the_new(
    fleet: ComparedFleet,
) -> None:
    with fleet.store.transaction() as tx:
        tx.execute(
            update(WindowRow)
            .where(col(WindowRow.version) == "1.0.0", col(WindowRow.device) == one_of(fleet, "treated"))
            .values(started_at=fleet.now, received_at=fleet.now + HOUR_S, counters={"errors": 40})
        )
    assert count(look(fleet).sample("errors"), "treated") == 0


def test_what_ran_in_the_shadow_is_held_against_nobody(fleet: ComparedFleet) -> None:
    """A challenger's errors reach nobody: neither the canary's, nor those of a control's other version."""
    before = look(fleet)
    with fleet.store.transaction() as tx:
        for arm, version in (("treated", "2.0.0"), ("control", "3.0.0")):
            last = tx.exec(
                select(WindowRow)
                .where(WindowRow.device == one_of(fleet, arm))
                .order_by(col(WindowRow.started_at).desc())
            ).first()
            assert last is not None
            said = last.model_dump(exclude={"id"})
            said |= {
                "version": version, "model_digest": "e" * 16, "latency": [0] * 31 + [500],
                "counters": {"errors": 400, "shadow_compared": 500, "shadow_disagreed": 400},
            }  # fmt: skip
            tx.add(WindowRow(**said))
    assert look(fleet).samples == before.samples


def test_crashes_since_the_bake_began_are_counted_in_both_arms(fleet: ComparedFleet) -> None:
    names = [one_of(fleet, "treated"), one_of(fleet, "control")]
    since = fleet.waves(1)[0].since
    with fleet.store.transaction() as tx:
        for name in names:
            for n, at in enumerate((since - 10, since + 10, since + 20)):
                tx.add(_alarm(name, f"{n}", at))
    crashes = look(fleet).sample("crashes")
    assert (count(crashes, "treated"), count(crashes, "control")) == (1, 1)


def test_crashes_of_yesterday_are_nobodys(fleet: ComparedFleet) -> None:
    with fleet.store.transaction() as tx:
        tx.add(_alarm(one_of(fleet, "treated"), "old", fleet.waves(1)[0].since - 10))
    assert count(look(fleet).sample("crashes"), "treated") == 0


def _alarm(device: str, key: str, at: float) -> EventRow:
    return EventRow(
        device=device,
        key=key,
        kind="alarm",
        model=MODEL,
        version="2.0.0",
        rollout="",
        attempt=1,
        phase="COMMITTED",
        reason_code="worker_crashed",
        reason="signal 11",
        at=at,
        received_at=at,
        body="{}",
    )


def test_a_device_that_sleeps_each_night_is_not_silent_at_night(fleet: ComparedFleet) -> None:
    sleeper, other = sorted(fleet.cohort(1, 0, "treated"))[:2]
    with fleet.store.transaction() as tx:
        tx.execute(
            update(Device)
            .where(col(Device.id).in_((sleeper, other)))
            .values(online=False, last_seen=fleet.now - 9 * HOUR_S)
        )
        spans = [0.0] * 18
        spans[0], spans[9] = 10 * 86400.0, 14 * 86400.0
        tx.add(DeviceHabit(device=sleeper, observed_to=fleet.now, spans_s=spans))
    assert count(look(fleet).sample("silence"), "treated") == 1


def test_devices_that_were_dead_before_are_no_controls_of_silence(fleet: ComparedFleet) -> None:
    dead, dark = sorted(fleet.cohort(1, 0, "control"))[:2]
    with fleet.store.read() as tx:
        offered = tx.exec(
            select(ExecutionRow.offered_at).where(ExecutionRow.device == one_of(fleet, "treated"))
        ).one()
    assert offered is not None
    with fleet.store.transaction() as tx:
        for device, seen in ((dead, offered - 30 * 86400), (dark, offered + 1)):
            tx.execute(update(Device).where(col(Device.id) == device).values(online=False, last_seen=seen))
    silence = look(fleet, after_s=3 * HOUR_S).sample("silence")
    assert (silence.treated, silence.control) == (20, 39)
    assert count(silence, "control") == 1


def test_canaries_that_went_dark_after_the_switch_are_counted_though_they_wait_in_the_tail(
    fleet: ComparedFleet,
) -> None:
    """They had no part in the comparison at all: of those that it left alive, all were well."""
    dark = sorted(fleet.cohort(1, 0, "treated"))[:6]
    with fleet.store.transaction() as tx:
        for device in dark:
            tx.execute(
                update(ExecutionRow)
                .where(col(ExecutionRow.device) == device)
                .values(state="IN_PROGRESS", step="probation", away=True, silent=True, wave=2)
            )
            tx.execute(
                update(Device)
                .where(col(Device.id) == device)
                .values(online=False, last_seen=fleet.now - 9 * HOUR_S)
            )
    found = look(fleet)
    assert found.devices == (20, 40)
    assert count(found.sample("silence"), "treated") == 6
    assert found.sample("failures").treated == 14, "they have not ended, so they are no success"


def test_a_control_that_another_rollout_took_is_no_control_any_more(fleet: ComparedFleet) -> None:
    with fleet.store.transaction() as tx:
        tx.execute(
            update(ExecutionRow)
            .where(col(ExecutionRow.device) == one_of(fleet, "control"))
            .values(state="SUPERSEDED")
        )
        tx.execute(
            update(ExecutionRow)
            .where(col(ExecutionRow.device) == one_of(fleet, "treated"))
            .values(state="QUEUED")
        )
    assert look(fleet).devices == (19, 39)


def test_a_look_reads_its_cohort_and_not_the_fleet(fleet: ComparedFleet) -> None:
    told = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        told.append(statement)

    engine = fleet.store.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        look(fleet)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    windows = [statement for statement in told if "FROM windows" in statement]
    assert len(windows) == 1
    assert "windows.device IN" in windows[0]
    assert len([statement for statement in told if statement.startswith("SELECT")]) <= 8


def test_nothing_is_read_where_no_look_is_due(fleet: ComparedFleet) -> None:
    with fleet.store.read() as tx:
        assert metric_facts.read_due(tx, 1, now=fleet.now + 60) is None
        assert metric_facts.read_due(tx, 99, now=fleet.now) is None
        assert tx.exec(select(WindowRow.id)).first() is not None
