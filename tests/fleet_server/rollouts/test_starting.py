"""A rollout is planned while others write, and written only if the plan is still what would be made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import pytest
from sqlmodel import col, select

from limosa_server.core.errors import PlanRefused
from limosa_server.errors import StoreBusy
from limosa_server.fleet import groups
from limosa_server.rollouts import pins, rollout_plan, rollout_start
from limosa_server.rollouts.starting import APART_MAX, Starting
from limosa_server.store import Store, Transaction
from limosa_server.tables.devices import Device, DeviceLabel, DeviceModel
from limosa_server.tables.judging import CohortRow
from limosa_server.tables.permits import Permit
from limosa_server.tables.planning import FindingRow
from limosa_server.tables.releases import Variant
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow, WaveRow
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import MODEL, Killed, SmallFleet, index_of, spec_of

pytestmark = pytest.mark.both_databases
Change: TypeAlias = Callable[[Transaction], object]
KEY = "token/k1"
NEEDS_BYTES = 1_000_000


@pytest.fixture
def fleet(database: Database) -> Iterator[SmallFleet]:
    made = SmallFleet(database.place(), database.folder, devices=6)
    with made.store.transaction() as tx:
        for variant in tx.exec(select(Variant)).all():
            variant.requires = {**variant.requires, "disk_bytes": NEEDS_BYTES}
    yield made
    made.close()


@dataclass(slots=True)
class Asking:
    """A request for a rollout. `meanwhile`: what others write after each plan, one after the other."""

    fleet: SmallFleet
    meanwhile: list[Change] = field(default_factory=list)
    plans: int = 0
    fields: Mapping[str, object] = field(default_factory=dict)

    def run(self) -> int:
        return Starting(known=self.known, make=self.make, write=self.write).run(self.fleet.store, self.answer)

    def known(self, tx: Transaction) -> RolloutRow | None:
        return tx.exec(select(RolloutRow).where(RolloutRow.idempotency_key == KEY)).first()

    def make(self, tx: Transaction) -> rollout_plan.Made:
        self.plans += 1
        made = rollout_plan.make(tx, spec_of(**self.fields), salt="salt", now=self.fleet.now)
        rollout_plan.refuse_bad(made.plan)
        if self.meanwhile:
            other = Store(self.fleet.store.engine, busy_timeout_s=5.0)  # another thread has a turn
            change = self.meanwhile.pop(0)
            with other.transaction() as writing:
                change(writing)
        return made

    def write(self, tx: Transaction, ready: rollout_start.Prepared) -> RolloutRow:
        return rollout_start.start(tx, ready, actor="test", key=KEY, request_sha256="")

    def answer(self, tx: Transaction, row: RolloutRow) -> int:
        assert row.id is not None
        return row.id


def device(tx: Transaction, name: str = "d3") -> Device:
    return tx.get_one(Device, name)


def revoke(tx: Transaction) -> None:
    device(tx).state = "revoked"


def fill_its_disk(tx: Transaction) -> None:
    device(tx).resources = {"disk_free_bytes": NEEDS_BYTES - 1}


def quarantine(tx: Transaction) -> None:
    tx.get_one(DeviceModel, ("d3", MODEL)).quarantined = [index_of("2.0.0")]


def pin(tx: Transaction) -> None:
    pins.pin(tx, "d3", model="", reason="demo", until=None, now=0.0, by="eva")


def leave(tx: Transaction) -> None:
    groups.leave(tx, "all", ["d3"])


def find_bad(tx: Transaction) -> None:
    device(tx).profile = "rpi4"
    tx.add(
        FindingRow(
            rollout=99, model=MODEL, version="2.0.0", index_sha256=index_of("2.0.0"), at=0.0, failed=1,
            executed=2, terms=[["profile", "rpi4"]], sentence="it failed on rpi4", bad=True,
        )
    )  # fmt: skip


@pytest.mark.parametrize("change", [revoke, fill_its_disk, quarantine, pin, leave, find_bad])
def test_a_device_that_may_not_have_it_any_more_is_noticed_before_anything_is_written(
    fleet: SmallFleet, change: Change
) -> None:
    asking = Asking(fleet, [change])
    rollout = asking.run()
    assert asking.plans == 2
    assert sorted(fleet.runs(rollout)) == ["d0", "d1", "d2", "d4", "d5"]


def test_a_device_that_joins_or_runs_something_else_by_now_is_planned_as_it_is(fleet: SmallFleet) -> None:
    def join(tx: Transaction) -> None:
        fleet._add_device(tx, "d6", "1.0.0")
        tx.flush()
        groups.join(tx, "all", ["d6"], now=fleet.now)

    def update(tx: Transaction) -> None:
        tx.get_one(DeviceModel, ("d2", MODEL)).active_version = "2.0.0"

    asking = Asking(fleet, [join, update])
    runs = fleet.runs(asking.run())
    assert asking.plans == APART_MAX + 1
    assert sorted(runs) == [f"d{i}" for i in range(7)]
    assert (runs["d2"].size_bytes, runs["d3"].size_bytes) == (0, 1000)


def test_a_permit_and_a_label_that_waves_are_made_by_are_noticed(fleet: SmallFleet) -> None:
    def relabel(tx: Transaction) -> None:
        tx.get_one(DeviceLabel, ("d4", "site")).value = "hq"

    def permit(tx: Transaction) -> None:
        tx.add(
            Permit(
                model=MODEL, from_version="2.0.0", to_version="1.0.0", envelope=b"", added_at=0.0, added_by=""
            )
        )

    waves = [{"name": "hq", "selector": "site=hq", "bake": "1s"}, {"name": "rest", "bake": "1s"}]
    asking = Asking(fleet, [relabel, permit], fields={"waves": waves})
    runs = fleet.runs(asking.run())
    assert asking.plans == 3
    assert sorted(name for name, run in runs.items() if run.wave == 0) == ["d0", "d1", "d4"]


def test_what_moves_all_the_time_and_decides_nothing_does_not_make_it_plan_again(fleet: SmallFleet) -> None:
    def live_on(tx: Transaction) -> None:
        for row in tx.exec(select(Device)).all():
            row.last_seen, row.online = fleet.now + 5, row.id != "d2"
            row.resources = {"disk_free_bytes": 5 * NEEDS_BYTES}
        fleet._add_device(tx, "d9", "1.0.0")  # in no group

    asking = Asking(fleet, [live_on])
    assert len(fleet.runs(asking.run())) == 6
    assert asking.plans == 1


def test_a_fleet_that_never_stands_still_gets_its_rollout_all_the_same(fleet: SmallFleet) -> None:
    def turn(to: str) -> Change:
        def write(tx: Transaction) -> None:
            device(tx).state = to

        return write

    asking = Asking(fleet, [turn("revoked"), turn("active")])
    assert len(fleet.runs(asking.run())) == 6
    assert asking.plans == APART_MAX + 1


def test_what_nobody_could_take_any_more_is_refused_and_nothing_is_left(fleet: SmallFleet) -> None:
    def revoke_all(tx: Transaction) -> None:
        for row in tx.exec(select(Device)).all():
            row.state = "revoked"

    with pytest.raises(PlanRefused):
        Asking(fleet, [revoke_all]).run()
    assert rows(fleet) == (0, 0, 0, 0)


def test_the_same_request_twice_at_once_starts_one_rollout(fleet: SmallFleet) -> None:
    twin = Asking(fleet)

    def other(tx: Transaction) -> None:
        twin.write(tx, rollout_start.prepare(tx, twin.make(tx).plan, now=fleet.now))

    asking = Asking(fleet, [other])
    assert (asking.run(), asking.plans, twin.plans) == (1, 1, 1)
    assert rows(fleet)[0] == 1
    assert Asking(fleet).run() == 1


def test_killed_while_it_is_written_the_rollout_is_absent_and_killed_after_it_is_whole(
    fleet: SmallFleet,
) -> None:
    many = {"waves": [{"name": "half", "count": 3, "bake": "1s"}, {"name": "rest", "bake": "1s"}]}
    for before, there in ((True, (0, 0, 0, 0)), (False, (1, 3, 6, 0))):
        fleet.store.arm(1, before=before)
        with pytest.raises(Killed):
            Asking(fleet, fields=many).run()
        fleet.restart()
        assert rows(fleet) == there
    assert fleet.live(Asking(fleet).run()) == "COMPLETED"


def test_others_write_while_it_is_planned(fleet: SmallFleet) -> None:
    """No turn to write is taken before the plan is there: a report is written in the middle of it."""

    def report(tx: Transaction) -> None:
        device(tx).last_seen = fleet.now + 1

    try:
        Asking(fleet, [report]).run()
    except StoreBusy:  # pragma: no cover  # what this test is about
        pytest.fail("the plan was made in a turn of its own")
    with fleet.store.read() as tx:
        assert device(tx).last_seen == fleet.now + 1


def rows(fleet: SmallFleet) -> tuple[int, int, int, int]:
    with fleet.store.read() as tx:
        return (
            len(tx.exec(select(RolloutRow.id)).all()),
            len(tx.exec(select(WaveRow.index).order_by(col(WaveRow.index))).all()),
            len(tx.exec(select(ExecutionRow.device)).all()),
            len(tx.exec(select(CohortRow.device)).all()),
        )
