"""Waves compared with devices that stay, over a real database (rollouts 5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from limosa_server.rollouts.decisions import explained
from tests.fleet_server.compared_fleet import COMPARED, ComparedFleet, sqlite_in
from tests.fleet_server.databases import Database


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComparedFleet]:
    made = ComparedFleet.with_a_past(sqlite_in(tmp_path_factory.mktemp("first")))
    yield made
    made.close()


@pytest.fixture
def fleet(first: ComparedFleet, tmp_path: Path) -> Iterator[ComparedFleet]:
    made = first.copy(sqlite_in(tmp_path))
    yield made
    made.close()


@pytest.mark.both_databases
def test_a_hot_day_slows_every_device_yet_the_release_goes_through_and_the_held_back_get_it_last(
    database: Database,
) -> None:
    fleet = ComparedFleet.with_a_past(database)
    fleet.weather = 1.6
    rollout = fleet.start(**COMPARED)
    canary, rest, tail = fleet.waves(rollout)
    assert [wave.judge for wave in (canary, rest, tail)] == ["compare", "compare", "criteria"]
    held = {name for name, run in fleet.runs(rollout).items() if run.wave == tail.index}
    assert len(held) == 24  # two fifths of 60
    assert fleet.cohort(rollout, 1, "control") == held
    assert len(fleet.cohort(rollout, 0, "control")) == 60

    assert fleet.live_hours(rollout) == "COMPLETED"
    assert set(fleet.running().values()) == {"2.0.0"}
    fleet.check_counts()
    runs = fleet.runs(rollout)
    first_held = min(runs[name].offered_at or 0 for name in held)
    assert first_held > max(run.offered_at or 0 for name, run in runs.items() if name not in held)
    looks = fleet.decisions(rollout, "compared")
    assert [(one.wave, one.verdict) for one in looks] == [
        (wave, verdict) for wave in (0, 1) for verdict in (*["INCONCLUSIVE"] * 3, "PASSED")
    ]
    assert "20 devices against 60 that stayed: all within their margins" in looks[3].sentence
    with fleet.store.read() as tx:
        assert [explained(tx, one)["replay"] for one in looks] == [{"outcome": "same", "why": ""}] * 8
    fleet.close()


def test_a_slow_release_is_stopped_on_its_canary_and_says_by_how_much(fleet: ComparedFleet) -> None:
    fleet.slower = 1.6
    rollout = fleet.start(**COMPARED, on_failure={"rollback": "all"})
    assert fleet.live_hours(rollout) == "ROLLED_BACK"
    assert set(fleet.running().values()) == {"1.0.0"}
    assert sum(run.offered_at is not None for run in fleet.runs(rollout).values()) == 20
    (stop,) = [one for one in fleet.decisions(rollout, "compared") if one.verdict == "FAILED"]
    assert "latency is surely worse, +" in stop.sentence
    assert "+20% is allowed" in stop.sentence
    assert fleet.waves(rollout)[0].reason == stop.sentence


def test_nobody_says_anything_so_the_bake_is_doubled_and_then_a_person_decides(fleet: ComparedFleet) -> None:
    rollout = fleet.start(**COMPARED)
    fleet.told = False
    assert fleet.live_hours(rollout) == "PAUSED"
    row = fleet.row(rollout)
    assert row.pause == "inconclusive"
    assert "latency: only 0 and 0 devices have told" in row.reason
    canary = fleet.waves(rollout)[0]
    assert (canary.status, canary.extended, canary.looks) == ("INCONCLUSIVE", True, 5)
    assert len(fleet.decisions(rollout, "compared")) == 5
    assert set(fleet.running().values()) == {"1.0.0", "2.0.0"}


def test_failing_inferences_on_the_canary_stop_it_though_every_update_succeeded(fleet: ComparedFleet) -> None:
    fleet.errors = 4  # of 44
    rollout = fleet.start(**COMPARED)
    assert fleet.live_hours(rollout) == "FAILED"
    (stop,) = [one for one in fleet.decisions(rollout, "compared") if one.verdict == "FAILED"]
    assert "20 of 20 had more errors, 0 of 60 that stayed" in stop.sentence


def test_a_release_that_kills_a_third_of_its_canaries_is_stopped_by_their_silence(
    fleet: ComparedFleet,
) -> None:
    """The other two thirds succeeded, all of them; the dead wait in the tail (rollouts 3.4, 3.5)."""
    rollout = fleet.start(**COMPARED)
    fleet.dark = set(sorted(fleet.cohort(rollout, 0, "treated"))[:7])
    assert fleet.live_hours(rollout) == "FAILED"
    (stop,) = [one for one in fleet.decisions(rollout, "compared") if one.verdict == "FAILED"]
    assert "7 of 20" in stop.sentence
    assert "0 of 60 that stayed" in stop.sentence
    assert sum(run.offered_at is not None for run in fleet.runs(rollout).values()) == 20


def test_a_bake_shorter_than_two_reports_is_judged_by_counts(fleet: ComparedFleet) -> None:
    waves = [{"name": "canary", "count": 20, "bake": "2s"}, {"name": "rest", "bake": "2s"}]
    rollout = fleet.start(**{**COMPARED, "waves": waves})
    assert [wave.judge for wave in fleet.waves(rollout)] == ["criteria"] * 3
    assert "shorter than two reports" in fleet.waves(rollout)[0].why_counts
    assert fleet.cohort(rollout, 1, "control") == set()
