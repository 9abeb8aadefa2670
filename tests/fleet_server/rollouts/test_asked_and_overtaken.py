"""What a rollout's file asked for in good faith, and what has become of it by the time it matters."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import select

from limosa_contracts.names import ReleaseName
from limosa_server.core.lifecycle.gates import Checked, scope_for
from limosa_server.registry import promotion
from limosa_server.registry.blobs import Blobs
from limosa_server.rollouts import rollout_plan
from limosa_server.rollouts.retracting import retract
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import RolloutRow
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import MODEL, SmallFleet, spec_of

ONE = [{"name": "all", "bake": "1s"}]


@pytest.fixture
def fleet(database: Database) -> Iterator[SmallFleet]:
    made = SmallFleet(database.place(), database.folder)
    yield made
    made.close()


def test_a_named_way_back_that_was_retracted_meanwhile_gives_way_to_what_each_device_ran(
    fleet: SmallFleet,
) -> None:
    """`on_failure.to` is refused where it names a retracted release (ADR 76); one that was retracted while
    the rollout ran was rolled out to everybody by its failure. They go back to what they ran before."""
    with fleet.store.transaction() as tx:
        fleet._add_release(tx, "1.0.1", 9)
        tx.exec(select(Release).where(Release.version == "2.0.0")).one().may_return_to = ["1.0.0", "1.0.1"]
    rollout = fleet.start(on_failure={"rollback": "all", "to": "1.0.1"})
    fleet.controller.tick()
    with fleet.store.transaction() as tx:
        bad = tx.exec(select(Release).where(Release.version == "1.0.1")).one()
        bad.retracted_at, bad.retracted_by, bad.retract_reason = fleet.now, "eva", "wrong labels"
    fleet.bad = {name for name, run in fleet.runs(rollout).items() if run.wave > 0}
    assert fleet.live(rollout) == "ROLLED_BACK"
    assert set(fleet.running().values()) == {"1.0.0"}
    assert fleet.row(rollout).reason.endswith(
        "every device runs the version it had before, for 1.0.1 cannot be offered any more"
    )


@pytest.mark.parametrize("mode", ["replace", "shadow"])
def test_a_challenger_of_higher_priority_keeps_no_device_from_a_rollout(fleet: SmallFleet, mode: str) -> None:
    """A plan warned of it, although the two have no lane in common (rollouts 2, 6)."""
    fleet.start(release=f"{MODEL}@3.0.0", waves=ONE, priority=5, mode=mode, abort=[])
    fleet.controller.tick()
    with fleet.store.read() as tx:
        planned = rollout_plan.make(tx, spec_of(waves=ONE), salt="s", now=fleet.now).plan
        as_high = rollout_plan.make(tx, spec_of(waves=ONE, priority=5), salt="s", now=fleet.now).plan
    kept = [one for one in planned.warnings if "of higher priority" in one]
    assert len(kept) == (1 if mode == "replace" else 0), kept
    assert not any("of higher priority" in one for one in as_high.warnings), "of two as high the newer has it"


@pytest.mark.parametrize("mode", ["replace", "shadow"])
def test_a_release_that_only_ran_in_the_shadow_has_not_shown_what_production_asks(
    fleet: SmallFleet, mode: str
) -> None:
    """No device had committed it, and `completed_rollout` held: with it in production, every later release
    would have listed it as one that devices may return to (server 2.2, trust 2.4)."""
    rollout = fleet.start(waves=ONE, mode=mode, abort=[])
    with fleet.store.transaction() as tx:
        tx.get_one(RolloutRow, rollout).status = "COMPLETED"
        release = tx.exec(select(Release).where(Release.version == "2.0.0")).one()
        blobs = Blobs(fleet.folder / "blobs", max_bytes=2**20)
        (checked,) = promotion.gate(tx, blobs, release, at=fleet.now)
    words = "a rollout of it has completed" if mode == "replace" else "no rollout of it has completed"
    assert checked == Checked("completed_rollout", mode == "replace", words)


def test_a_release_is_retracted_with_the_way_back_although_a_rollout_of_it_has_not_begun(
    fleet: SmallFleet,
) -> None:
    """One is under way, one waits for its approval: from that one nobody goes back, and it ends all the same
    (ADR 76). One that is on its way back already goes on."""
    under_way = fleet.start(waves=[{"name": "all", "bake": "1h"}], rate={"max_in_progress": 2})
    fleet.live(under_way, seconds=3)
    waits = fleet.start(waves=ONE, approval={"approvers": 1}, priority=-1)
    fleet.controller.tick()
    assert (fleet.row(under_way).status, fleet.row(waits).status) == ("RUNNING", "WAITING_FOR_APPROVAL")
    with fleet.store.transaction() as tx:
        done = retract(
            tx, ReleaseName.parse(f"{MODEL}@2.0.0"), at=fleet.now, actor="token 1 eva", by="eva",
            reason="wrong labels", rollback=True,
        )  # fmt: skip
    assert (done.canceled, done.going_on) == ((under_way, waits), ())
    fleet.live(under_way, seconds=60)
    assert (fleet.row(under_way).status, fleet.row(waits).status) == ("ROLLED_BACK", "CANCELED")
    assert set(fleet.running().values()) == {"1.0.0"}


def test_a_release_is_retracted_while_a_rollout_of_it_is_on_its_way_back(fleet: SmallFleet) -> None:
    """What ends already is let go on: the retraction must not fail for it (ADR 76)."""
    rollout = fleet.start()
    fleet.bad = {name for name, run in fleet.runs(rollout).items() if run.wave > 0}
    for _ in range(30):
        fleet.live(rollout, seconds=1)
        if fleet.row(rollout).status == "ROLLING_BACK":
            break
    assert fleet.row(rollout).status == "ROLLING_BACK"
    with fleet.store.transaction() as tx:
        done = retract(
            tx, ReleaseName.parse(f"{MODEL}@2.0.0"), at=fleet.now, actor="token 1 eva", by="eva",
            reason="wrong labels", rollback=False,
        )  # fmt: skip
    assert (done.canceled, done.going_on) == ((), (rollout,))
    assert fleet.live(rollout) == "ROLLED_BACK"


@pytest.mark.parametrize("what", ["retracted", "delisted", ""])
def test_what_nobody_may_have_any_more_is_not_promoted_by_a_rollout_that_completes(
    fleet: SmallFleet, what: str
) -> None:
    """Its team took it out of its list while the last devices were at it."""
    rollout = fleet.start(waves=ONE)
    with fleet.store.transaction() as tx:
        release = tx.exec(select(Release).where(Release.version == "2.0.0")).one()
        release.retracted_at = fleet.now if what == "retracted" else None
        release.delisted = what == "delisted"
        blobs = Blobs(fleet.folder / "blobs", max_bytes=2**20)
        promoted = promotion.promote_if_shown(tx, blobs, release, at=fleet.now, rollout=rollout)
    assert promoted == (what == "")


def test_the_gate_of_a_model_goes_before_that_of_its_team() -> None:
    """The most particular one holds, alone, in whichever order they were set."""
    for scopes in (["vision", "vision/detector", "*"], ["*", "vision/detector", "vision"]):
        assert scope_for(scopes, "vision/detector") == "vision/detector"
        assert scope_for(scopes, "vision/other") == "vision"
        assert scope_for(scopes, "audio/detector") == "*"
