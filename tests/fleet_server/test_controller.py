"""The controller over a real database: killed anywhere, it loses nothing (style 4, rollouts 3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlmodel import select

from limosa_contracts.errors import NotFound
from limosa_contracts.phases import Phase
from limosa_contracts.selector import Selector
from limosa_server.core.desired import LIFE_S
from limosa_server.core.errors import KnownBad, PlanRefused
from limosa_server.fleet import groups
from limosa_server.pages import attention
from limosa_server.rollouts import rollout_plan
from limosa_server.rollouts.controller import DOCUMENTS_EVERY_S
from limosa_server.tables.devices import Device, DeviceLabel
from limosa_server.tables.groups import Membership
from limosa_server.tables.releases import Release
from limosa_server.tables.reports import OutboxRow
from limosa_server.tables.rollouts import DecisionRow, DesiredDocument, RolloutRow
from limosa_server.trust import director
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import SmallFleet, spec_of

pytestmark = pytest.mark.both_databases


@pytest.fixture
def fleet(database: Database) -> Iterator[SmallFleet]:
    made = SmallFleet(database.place(), database.folder)
    yield made
    made.close()


def test_a_good_release_completes_and_is_promoted_to_production(fleet: SmallFleet) -> None:
    rollout = fleet.start()
    assert fleet.live(rollout) == "COMPLETED"
    assert set(fleet.running().values()) == {"2.0.0"}
    fleet.check_counts()
    with fleet.store.read() as tx:
        stages = {row.version: row.stage for row in tx.exec(select(Release)).all()}
    assert stages == {"1.0.0": "staging", "2.0.0": "production", "3.0.0": "staging"}


def test_a_bad_release_is_rolled_back_and_refused_when_it_is_tried_again(fleet: SmallFleet) -> None:
    fleet.bad = set(fleet.names())
    rollout = fleet.start()
    assert fleet.live(rollout) == "ROLLED_BACK"
    assert set(fleet.running().values()) == {"1.0.0"}
    fleet.check_counts()
    assert sum(run.offered_at is not None for run in fleet.runs(rollout).values()) == 1
    with pytest.raises(KnownBad):  # rollouts 3.9
        fleet.start()
    with fleet.store.read() as tx:
        planned = rollout_plan.make(tx, spec_of(), salt="s", now=fleet.now).plan
        first = attention.concerns(tx, now=fleet.now)[0]
    assert "is known to be bad here" in planned.problems[0]  # a plan says what a start would meet
    assert "executed devices failed" in first.why  # the cause, not only that all is well again


@pytest.mark.parametrize("before", [True, False], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize("bad", [False, True], ids=["good release", "bad release"])
def test_the_server_is_killed_at_every_single_commit_of_a_rollout(
    database: Database, before: bool, bad: bool
) -> None:
    """At each commit another server goes on from what is left; the end is as if nothing had happened."""
    fleet = SmallFleet(database.place("first"), database.folder, devices=3)
    rollout = fleet.start()
    if bad:  # all but the canary, so that a device that had committed must go back too
        fleet.bad = {name for name, run in fleet.runs(rollout).items() if run.wave > 0}
    kills = 0

    def kill() -> None:
        nonlocal kills
        kills += 1
        restarted = fleet.left_behind(database)
        ends_as_it_must(restarted, rollout, bad, f"killed at commit {kills}")
        restarted.close()

    fleet.store.watch(kill, before=before)
    fleet.live(rollout)
    fleet.store.watch(None)
    ends_as_it_must(fleet, rollout, bad, "never killed")
    fleet.close()
    assert kills >= 10


def ends_as_it_must(fleet: SmallFleet, rollout: int, bad: bool, when: str) -> None:
    assert fleet.live(rollout) == ("ROLLED_BACK" if bad else "COMPLETED"), when
    assert set(fleet.running().values()) == {"1.0.0" if bad else "2.0.0"}, when
    fleet.check_counts()
    with fleet.store.read() as tx:
        ends = tx.exec(
            select(DecisionRow).where(DecisionRow.kind.in_(("completed", "rolled_back")))  # type: ignore[attr-defined]  # a column
        ).all()
    assert len(ends) == 1, when


def test_the_document_names_the_release_its_trial_and_its_rollout(fleet: SmallFleet) -> None:
    fleet.start(
        trial={"inferences": 20, "seconds": 5},
        telemetry={"report_every": "2s", "report_every_in_probation": "1s"},
    )
    fleet.controller.tick()
    offered = [name for name in fleet.names() if fleet.document(name) is not None]
    assert len(offered) == 1
    state = fleet.document(offered[0])
    assert state is not None
    assert (state.models[0].version, state.models[0].rollout, state.models[0].attempt) == ("2.0.0", "1", 1)
    assert (state.models[0].trial.inferences, state.report_every_s) == (20, 2.0)
    assert state.report_every_in_probation_s == 1.0
    with fleet.store.read() as tx:
        row = tx.exec(select(OutboxRow)).one()
    assert row.topic == f"limosa/v1/d/{offered[0]}/desired"
    assert row.retain


def test_a_document_is_renewed_at_half_of_its_life_with_a_higher_counter(fleet: SmallFleet) -> None:
    fleet.live(fleet.start())
    before = fleet.document("d0")
    assert before is not None
    fleet.controller.tick()
    assert fleet.document("d0") == before
    fleet.now += LIFE_S / 2 + 1
    fleet.controller.tick()
    after = fleet.document("d0")
    assert after is not None
    assert (after.counter > before.counter, after.models) == (True, before.models)


def test_a_fleets_documents_are_gone_through_a_part_at_a_time_and_again_from_the_beginning(
    fleet: SmallFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(director, "LOOKED_AT", 2)
    fleet.live(fleet.start())
    for epoch in (2, 3):
        fleet.epoch = epoch
        looks = -(-len(fleet.names()) // 2)
        for _ in range(looks + 1):  # one may find that nothing is left
            fleet.now += DOCUMENTS_EVERY_S
            fleet.controller.tick()
        with fleet.store.read() as tx:
            assert {row.epoch for row in tx.exec(select(DesiredDocument))} == {epoch}


def test_a_server_from_a_backup_jumps_over_the_counter_its_devices_have_seen(fleet: SmallFleet) -> None:
    """trust 4.3."""
    fleet.live(fleet.start())
    with fleet.store.transaction() as tx:
        device = tx.get_one(Device, "d0")
        device.desired_counter = seen = 9_000_000_000_000_000
        tx.add(device)
    fleet.now += DOCUMENTS_EVERY_S
    fleet.controller.tick()
    state = fleet.document("d0")
    assert state is not None
    assert state.counter == seen + 1


def test_a_new_epoch_signs_every_document_anew(fleet: SmallFleet) -> None:
    fleet.live(fleet.start())
    fleet.epoch = 2
    fleet.now += DOCUMENTS_EVERY_S
    fleet.controller.tick()
    for name in fleet.names():
        state = fleet.document(name)
        assert state is not None
        assert state.epoch == 2


def test_one_bad_rollout_never_stops_the_others(fleet: SmallFleet) -> None:
    broken = fleet.start()
    with fleet.store.transaction() as tx:
        row = tx.get_one(RolloutRow, broken)
        row.spec, row.model = {"release": "nonsense"}, "demo/other"
        tx.add(row)
    good = fleet.start()
    assert fleet.live(good) == "COMPLETED"
    assert fleet.row(broken).failing_since is not None
    assert "nonsense" in fleet.row(broken).failing_reason


def test_a_newer_rollout_takes_over_the_devices_of_an_older_one(fleet: SmallFleet) -> None:
    older = fleet.start(waves=[{"name": "canary", "count": 1, "bake": "1h"}, {"name": "rest"}])
    fleet.live(older, seconds=4)
    newer = fleet.start(release="demo/motion@3.0.0")
    assert fleet.live(newer) == "COMPLETED"
    assert set(fleet.running().values()) == {"3.0.0"}
    states = sorted(run.state for run in fleet.runs(older).values())
    assert states == ["SUCCEEDED", "SUPERSEDED", "SUPERSEDED", "SUPERSEDED"]
    fleet.check_counts()


def test_a_rollout_that_has_lost_all_of_its_devices_is_superseded(fleet: SmallFleet) -> None:
    older = fleet.start()
    newer = fleet.start(release="demo/motion@3.0.0")
    fleet.controller.tick()
    assert fleet.row(older).status == "SUPERSEDED"
    assert fleet.live(newer) == "COMPLETED"


def test_a_report_for_a_rollout_that_does_not_exist_changes_nothing(fleet: SmallFleet) -> None:
    rollout = fleet.start()
    fleet.controller.tick()
    device = next(name for name in fleet.names() if fleet.document(name) is not None)
    state = fleet.document(device)
    assert state is not None
    for strange in ("", "7777", "99999999999999999999", "٣", "x", "-1"):
        wanted = replace(state.models[0], rollout=strange)
        with fleet.store.transaction() as tx:
            fleet._report(tx, device, state, wanted, Phase.PROBATION, "1.0.0")
    assert fleet.runs(rollout)[device].state == "NOTIFIED"


def test_a_device_without_a_fitting_variant_is_left_out_with_the_reason(fleet: SmallFleet) -> None:
    with fleet.store.transaction() as tx:
        device = tx.get_one(Device, "d2")
        device.capabilities = {"arch": "armv7l"}
        tx.add(device)
    with fleet.store.read() as tx:
        planned = rollout_plan.make(tx, spec_of(), salt="s", now=fleet.now).plan
    excluded = {device: str(why) for device, why in planned.excluded.items()}
    assert excluded == {"d2": "no fitting variant: int8: needs x86_64, it is armv7l"}
    assert [len(wave.devices) for wave in planned.waves] == [1, 2]
    assert planned.bytes_to_move == 3000
    assert "criteria judge" in planned.power.sentence


def test_a_downgrade_is_left_out_unless_it_is_allowed_by_both(fleet: SmallFleet) -> None:
    fleet.live(fleet.start())
    with pytest.raises(PlanRefused, match="set allow_downgrade"):
        fleet.start(release="demo/motion@1.0.0")
    assert fleet.live(fleet.start(release="demo/motion@1.0.0", allow_downgrade=True)) == "COMPLETED"


def test_an_unknown_release_or_group_is_named_with_what_there_is(fleet: SmallFleet) -> None:
    with pytest.raises(NotFound, match=r"it has 1.0.0, 2.0.0, 3.0.0"):
        fleet.start(release="demo/motion@9.0.0")
    with pytest.raises(NotFound) as caught:
        fleet.start(group="al")
    assert "'all'" in caught.value.hint


def test_a_version_to_go_back_to_that_does_not_exist_is_missed_at_once(fleet: SmallFleet) -> None:
    """Not when the rollout has failed and needs it."""
    with pytest.raises(NotFound) as caught:
        fleet.start(on_failure={"rollback": "all", "to": "9.9.9"})
    assert caught.value.where == "rollout.on_failure.to"


def test_membership_follows_labels_when_they_change(fleet: SmallFleet) -> None:
    with fleet.store.transaction() as tx:
        groups.create(
            tx, "hq", selector=Selector.parse("site=hq"), description="", now=fleet.now, actor="test"
        )
    assert members(fleet, "hq") == ["d0", "d1"]
    with fleet.store.transaction() as tx:
        label = tx.get_one(DeviceLabel, ("d3", "site"))
        label.value = "hq"
        tx.add(label)
        groups.labels_changed(tx, "d3", now=fleet.now)
        tx.delete(tx.get_one(DeviceLabel, ("d0", "site")))
        groups.on_device(tx, "d0", "", fleet.now)
    assert members(fleet, "hq") == ["d1", "d3"]


def test_a_device_joins_by_name_only_a_static_group(fleet: SmallFleet) -> None:
    with fleet.store.transaction() as tx:
        groups.create(
            tx, "hq", selector=Selector.parse("site=hq"), description="", now=fleet.now, actor="test"
        )
    with pytest.raises(Exception, match="has the selector"), fleet.store.transaction() as tx:
        groups.join(tx, "hq", ["d3"], now=fleet.now)


def test_a_device_that_enrols_into_a_group_that_is_not_there_makes_it(fleet: SmallFleet) -> None:
    with fleet.store.transaction() as tx:
        groups.on_device(tx, "d0", "newcomers", fleet.now)
    assert members(fleet, "newcomers") == ["d0"]


def members(fleet: SmallFleet, group: str) -> list[str]:
    with fleet.store.read() as tx:
        return sorted(tx.exec(select(Membership.device).where(Membership.group == group)).all())
