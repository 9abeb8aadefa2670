"""Two hundred devices of two kinds in two shifts: half of them are away at any moment, some come later.

A release that is bad for one kind stops, and says for which; a good one reaches everybody (rollouts 3, 4).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import update
from sqlmodel import col, select

from limosa_contracts.phases import Execution
from limosa_server.fleet import groups
from limosa_server.rollouts import rollout_plan
from limosa_server.tables.devices import Device
from limosa_server.tables.planning import FindingRow
from limosa_server.tables.rollouts import DesiredDocument, WaveRow
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import SmallFleet, spec_of

MINUTE_S = 60.0
SHIFT = 10  # minutes; then the other half is there
RPI4, X86 = "rpi4", "generic-x86-64"
CAREFUL = {
    "release": "demo/motion@2.0.0",
    "waves": [
        {"name": "canary", "percent": 10, "bake": "5m"},
        {"name": "half", "percent": 50, "bake": "5m"},
        {"name": "rest", "bake": "5m"},
    ],
    "abort": [{"action": "rollback"}],
    "control": {"percent": 0},
    "timeouts": {"offer": "4h", "in_progress": "4h", "silence": "3m"},
    "success": {"reachable_within": "6h"},
}


class World(SmallFleet):
    """Each third device is a Raspberry Pi 4; odd and even devices are there in turns."""

    minutes = 0

    def begin(self) -> World:
        with self.store.transaction() as tx:
            for device in tx.exec(select(Device)).all():
                device.profile = RPI4 if int(device.id[1:]) % 3 == 0 else X86
        self._change_shift()
        self.now += 5 * MINUTE_S  # it is known who is away
        return self

    def minute(self) -> None:
        self.controller.tick()
        for name in self._asked():
            self.answer(name)
        self.now += MINUTE_S
        self.minutes += 1
        if self.minutes % SHIFT == 0:
            self._change_shift()

    def live_on(self, rollout: int, *, most: int = 200) -> str:
        for _ in range(most):
            self.minute()
            status = self.row(rollout).status
            if status not in ("VALIDATING", "RUNNING", "ROLLING_BACK"):
                break
        return self.row(rollout).status

    def late(self, *names: str) -> None:
        """They are enrolled into the group while the rollout is under way."""
        with self.store.transaction() as tx:
            for name in names:
                self._add_device(tx, name, "1.0.0")
                tx.get_one(Device, name).profile = X86
            tx.flush()
            groups.join(tx, "all", names, now=self.now)

    def _change_shift(self) -> None:
        here = (self.minutes // SHIFT) % 2
        self.offline = {name for name in self.names() if int(name[1:]) % 2 != here}
        with self.store.transaction() as tx:
            going = col(Device.id).in_(self.offline) & col(Device.online).is_(True)
            tx.execute(update(Device).where(going).values(online=False, last_seen=self.now))
            tx.execute(
                update(Device)
                .where(col(Device.id).not_in(self.offline))
                .values(online=True, last_seen=self.now)
            )

    def _asked(self) -> list[str]:
        with self.store.read() as tx:
            query = (
                select(Device.id)
                .join(DesiredDocument, col(DesiredDocument.device) == col(Device.id))
                .where(col(Device.desired_counter) < col(DesiredDocument.counter))
                .order_by(col(Device.id))
            )
            return [name for name in tx.exec(query).all() if name not in self.offline]

    def of_profile(self, profile: str) -> set[str]:
        with self.store.read() as tx:
            return set(tx.exec(select(Device.id).where(Device.profile == profile)).all())


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    made = World(database.place(), database.folder, devices=200).begin()
    yield made
    made.close()


def test_a_release_that_is_bad_for_one_kind_of_device_stops_on_its_canary_and_says_for_which(
    world: World,
) -> None:
    world.bad = world.of_profile(RPI4)
    rollout = world.start(**CAREFUL)
    assert world.live_on(rollout) == "ROLLED_BACK"
    runs = world.runs(rollout)
    offered = {name for name, run in runs.items() if run.offered_at is not None}
    assert len(offered) == 20, "nobody behind the canary, though half of the fleet came and went meanwhile"
    failed = {name for name in offered if runs[name].state == Execution.ROLLED_BACK.value}
    assert failed == offered & world.bad
    assert set(world.running().values()) == {"1.0.0"}

    with world.store.read() as tx:
        (found,) = tx.exec(select(FindingRow).where(FindingRow.rollout == rollout)).all()
        assert found.sentence.startswith(f"all {len(failed)} failures: profile {RPI4} (")
        again = rollout_plan.make(tx, spec_of(**CAREFUL), salt="other", now=world.now).plan
    assert world.of_profile(RPI4) <= set(again.excluded)
    assert {str(one).partition(":")[0] for one in again.excluded.values()} == {"known-bad"}
    good = world.start(**CAREFUL)
    assert world.live_on(good) == "COMPLETED", "and the others may have it"
    assert set(world.running().values()) == {"1.0.0", "2.0.0"}


def test_a_good_release_reaches_a_fleet_of_which_half_is_always_away_and_those_who_come_late(
    world: World,
) -> None:
    rollout = world.start(**CAREFUL, target_selection="continuous")
    for _ in range(4):
        world.minute()
    world.late("d200", "d201", "d202", "d203")
    for _ in range(200):
        world.minute()
        row = world.row(rollout)
        if row.settled and set(world.running().values()) == {"2.0.0"}:
            break
    assert (row.status, row.settled) == ("RUNNING", True), row.reason
    assert len(world.running()) == 204
    states = {run.state for run in world.runs(rollout).values()}
    assert states == {Execution.SUCCEEDED.value}, "whoever was away is no failure"
    with world.store.read() as tx:
        waves = tx.exec(select(WaveRow).where(WaveRow.rollout == rollout).order_by(col(WaveRow.index))).all()
    runs = world.runs(rollout)
    last_gated = max(run.offered_at or 0.0 for run in runs.values() if run.wave < waves[-1].index)
    assert all((runs[f"d20{i}"].offered_at or 0.0) >= last_gated for i in range(4)), "not around the gates"
