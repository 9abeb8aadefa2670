"""State × reboot: the power is cut at every point of every row of the table (agent 8).

Each row is taken from a state that the machine can reach, on a real journal and outbox; the power goes
before and after each commit and each effect. The next start must end the attempt, and something good
must answer whenever something good was there.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from limosa_agent.link.outbox import Outbox
from limosa_agent.store.journal import Journal
from limosa_agent.store.state_db import StateDb
from limosa_agent.update.events import (
    Event,
    Fetched,
    Healthy,
    Loaded,
    LoadFailed,
    Restarted,
    SelfTestFailed,
    SelfTestPassed,
    Unhealthy,
    WindowOpened,
)
from limosa_agent.update.machine import accepts
from limosa_agent.update.state import ABSENT, ACTIVE, SHADOW, ModelState
from limosa_agent.update.updater import Updater
from limosa_contracts.phases import Phase
from tests.agent.update.exploring import Crossing, RowName, crossings, rows
from tests.agent.update.test_machine import BAD, release

UNREACHABLE: Final = {
    (Phase.IDLE, "Wanted", 0): "who is idle wants nothing",
    (Phase.STAGED, "Wanted", 1): "what is staged is here",
    (Phase.COMMITTED, "Wanted", 1): "what is committed is here",
    (Phase.REMOVED, "Wanted", 2): "what is removed is not here",
    (Phase.REMOVED, "Wanted", 4): "what is removed does not run",
    (Phase.REMOVED, "LateFailure", 0): "what is removed has no previous",
}
VERIFIED: Final = frozenset(release(number).manifest_sha256 for number in (1, 2, 3))


class PowerLost(BaseException):
    """Not an Exception: nothing on the way may handle it."""


@dataclass
class World:
    """Disk and workers of one lane; `cut_at` counts the points at which power may be lost."""

    good: bool
    cut_at: int = -1
    points: int = 0
    link: str | None = None
    serving: str | None = None
    beside: str | None = None
    served: set[str] = field(default_factory=set)

    def point(self, name: str) -> None:
        self.points += 1
        if self.points - 1 == self.cut_at:
            raise PowerLost(name)

    def start(self, state: ModelState) -> None:
        """As the agent does: what is committed serves; the link is made from the state (agent 3.0, 3.2)."""
        active = state.active.manifest_sha256 if state.active else None
        self.serving = self.beside = None
        if state.is_shadow:
            self.beside = active
        elif state.phase is not Phase.REMOVING:
            self.serving = active
        self.link = _linked(state)

    # Effects
    def start_fetch(self, state: ModelState) -> None:
        self.point("fetch")

    retry_fetch = stop_fetch = run_self_test = begin_probation = start_fetch

    def collect_garbage(self, state: ModelState) -> None:
        self.point("collect")

    def switch_link(self, state: ModelState) -> None:
        self.point("before link")
        self.link = _linked(state)
        self.point("after link")

    async def load(self, state: ModelState) -> Loaded | LoadFailed:
        assert state.candidate is not None
        self.point("load")
        sha = state.candidate.manifest_sha256
        if state.is_shadow:
            self.beside = sha
        else:
            assert self.link == sha, "3.0: what is on trial is what is linked"
            self.serving = sha
        self.served.add(sha)
        return Loaded(manifest_sha256=sha)

    async def fall_back(self, state: ModelState) -> None:
        self.point("before fall back")
        self._answer(state)
        self.point("after fall back")

    async def stop_serving(self, state: ModelState) -> None:
        self.point("before it stops")
        if state.is_shadow:
            self.beside = None
        else:
            self.serving = None
        self.point("after it stopped")

    async def release_standby(self, state: ModelState) -> None:
        self.point("release")

    def _answer(self, state: ModelState) -> None:
        active = state.active.manifest_sha256 if state.active else None
        if state.is_shadow:
            self.beside = active
        else:
            self.serving = active


def _linked(state: ModelState) -> str | None:
    return state.linked.manifest_sha256 if state.linked else None


class Disk:
    """One journal and outbox for all crossings: what a cut leaves is what was committed."""

    def __init__(self, folder: Path) -> None:
        self.db = StateDb.open(folder, probe=lambda name: self.world.point(name))
        self.db._connection.execute("PRAGMA synchronous = OFF")  # power is lost by an exception here
        self.world = World(good=True)

    def updater(self, world: World) -> Updater:
        """The agent's part after a start: everything it knows is read from the disk."""
        self.world = world
        outbox = Outbox(self.db, max_bytes=1 << 20)
        return Updater(self.db, outbox, world, encode=lambda report: report.key.encode())

    def hold(self, state: ModelState) -> None:
        with self.db.transaction("given") as connection:
            for table in ("models", "shadows", "quarantine", "outbox"):
                connection.execute(f"DELETE FROM {table}")
            Journal(self.db).save(state, connection=connection)

    def reports(self) -> set[str]:
        return {row.payload.decode() for row in Outbox(self.db, max_bytes=1 << 20).after(0, limit=99)}


async def cross(disk: Disk, crossing: Crossing, world: World) -> None:
    """The row itself, until its end or the cut."""
    before = crossing.before
    disk.world = World(good=True)
    disk.hold(before)
    world.start(before)
    if before.phase is Phase.PROBATION:
        world.serving = _linked(before)
    await disk.updater(world).dispatch(before.key, crossing.event)


async def start_again(disk: Disk, key: str, world: World) -> ModelState:
    """The next start of the agent, until the attempt has ended."""
    world.cut_at = -1
    updater = disk.updater(world)
    world.start(updater.state(key))
    await updater.dispatch(key, Restarted())
    for _ in range(40):
        state = updater.state(key)
        if state.phase.terminal or state.phase is Phase.IDLE:
            return state
        await updater.dispatch(key, following(state, world))
    raise AssertionError(f"no end: {updater.state(key)}")


def following(state: ModelState, world: World) -> Event:
    """What a device does next: with a good release, or with one that fails."""
    if accepts(state.phase, Fetched) and state.target is not None:
        return Fetched(release=release(int(state.target.version[0])))
    if state.phase is Phase.SELF_TESTING:
        return SelfTestPassed() if world.good or state.is_shadow else SelfTestFailed(reason=BAD)
    if state.phase is Phase.PROBATION:
        assert world.serving is not None
        return Healthy(manifest_sha256=world.serving) if world.good else Unhealthy(reason=BAD)
    assert accepts(state.phase, WindowOpened), state.phase
    return WindowOpened()


def check(before: ModelState, after: ModelState, reports: set[str], world: World) -> None:
    assert after.phase.terminal or after.phase is Phase.IDLE
    active = after.active.manifest_sha256 if after.active else None
    assert (world.beside if after.is_shadow else world.serving) == active
    assert world.link == _linked(after)
    assert world.served <= VERIFIED
    removed = after.target is not None and after.target.mode == ABSENT and after.phase is Phase.REMOVED
    if before.active is not None and not removed and not after.is_shadow:
        assert active is not None, "a device that has run a good model is never without one"
    if not after.is_shadow:
        assert after.committed_counter >= before.committed_counter, "the floor never sinks"
    if after.phase is Phase.COMMITTED and after.active != before.active and after.previous is None:
        assert before.active is None or after.is_shadow, "previous is kept until the commit, and after it"
    if after.phase.terminal and after.transitions != before.transitions:
        ends = [key for key in reports if key.endswith(f":{after.key}:{after.phase.value}")]
        assert ends, f"{after.phase} was not told: {sorted(reports)}"


@pytest.fixture(scope="module")
def found() -> dict[str, dict[RowName, Crossing]]:
    return {lane: crossings(lane) for lane in (ACTIVE, SHADOW)}


def test_every_row_of_the_table_can_be_taken_or_is_known_not_to(
    found: dict[str, dict[RowName, Crossing]],
) -> None:
    taken = set(found[ACTIVE]) | set(found[SHADOW])
    assert {name for name, _ in rows()} - taken == set(UNREACHABLE)


@pytest.mark.parametrize("good", [True, False], ids=["good", "failing"])
@pytest.mark.parametrize("lane", [ACTIVE, SHADOW])
@pytest.mark.parametrize("phase", Phase)
def test_power_lost_at_each_point_of_each_row(
    phase: Phase, lane: str, good: bool, tmp_path: Path, found: dict[str, dict[RowName, Crossing]]
) -> None:
    disk = Disk(tmp_path)
    mine = [crossing for name, crossing in found[lane].items() if name[0] is phase]

    async def cut_everywhere() -> int:
        return sum([await cut_one(disk, crossing, good=good) for crossing in mine])

    try:
        assert asyncio.run(cut_everywhere()) >= len(mine)
        assert mine or (phase, lane) == (Phase.PROBATION, SHADOW), "nothing of a shadow is on trial"
    finally:
        disk.db.close()


async def cut_one(disk: Disk, crossing: Crossing, *, good: bool) -> int:
    """At each of its points; gives how many there were."""
    for cut in range(60):
        world = World(good=good, cut_at=cut)
        with suppress(PowerLost):
            await cross(disk, crossing, world)
        whole = world.points <= cut
        after = await start_again(disk, crossing.before.key, world)
        check(crossing.before, after, disk.reports(), world)
        if whole:
            return cut + 1
    raise AssertionError("the row does not end")
