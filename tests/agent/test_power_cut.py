"""Power lost at every transition: before and after each commit, before and after each effect (agent 8)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from limosa_agent.errors import JournalCorrupt, StateTooNew
from limosa_agent.link.outbox import Outbox
from limosa_agent.store.journal import Journal
from limosa_agent.store.recovery import without_broken
from limosa_agent.store.state_db import FILE, MIGRATIONS, StateDb, set_aside
from limosa_agent.update.actions import Report
from limosa_agent.update.events import (
    Fetched,
    Healthy,
    LateFailure,
    Loaded,
    LoadFailed,
    Restarted,
    SelfTestFailed,
    SelfTestPassed,
    Unhealthy,
    Wanted,
    WindowOpened,
)
from limosa_agent.update.machine import accepts
from limosa_agent.update.state import ModelState
from limosa_agent.update.updater import Updater
from limosa_contracts.event import Reason
from limosa_contracts.phases import Phase
from tests.agent.update.test_machine import BAD, committed, release, target

MODEL = "demo/motion"


class PowerLost(BaseException):
    """Not an Exception: nothing on the way may handle it."""


@dataclass
class Device:
    """Disk and worker; `cut_at` counts the points at which power may be lost."""

    folder: Path
    healthy: bool = True
    self_test_ok: bool = True
    loads: bool = True
    cut_at: int = -1
    points: int = 0
    link: str | None = None  # on disk
    serving: str | None = None  # lost with power
    served: set[str] = field(default_factory=set)

    def point(self, name: str) -> None:
        if self.points == self.cut_at:
            self.points += 1
            raise PowerLost(name)
        self.points += 1

    # Effects
    def start_fetch(self, state: ModelState) -> None:
        self.point("fetch")

    retry_fetch = stop_fetch = run_self_test = collect_garbage = start_fetch

    def switch_link(self, state: ModelState) -> None:
        self.point("before link")
        self.link = state.linked.manifest_sha256 if state.linked else None
        self.point("after link")

    async def load(self, state: ModelState) -> Loaded | LoadFailed:
        assert state.candidate is not None
        self.point("load")
        if not self.loads:
            return LoadFailed(reason=BAD)
        assert self.link == state.candidate.manifest_sha256, "3.0: probation of what is linked"
        self.serving = self.link
        self.served.add(self.serving)
        return Loaded(manifest_sha256=self.serving)

    def begin_probation(self, state: ModelState) -> None:
        self.point("probation")

    async def fall_back(self, state: ModelState) -> None:
        self.point("before fall back")
        self.serving = state.active.manifest_sha256 if state.active else None
        self.point("after fall back")

    async def stop_serving(self, state: ModelState) -> None:
        self.point("stop serving")
        self.serving = None

    async def release_standby(self, state: ModelState) -> None:
        self.point("release")


async def live(device: Device, *, want: int) -> ModelState:
    """One start of the agent, until the attempt has ended or the power is lost."""
    db = StateDb.open(device.folder, probe=device.point)
    try:
        outbox = Outbox(db, max_bytes=1 << 20)
        updater = Updater(db, outbox, device, encode=lambda report: report.key.encode())
        state = updater.state(MODEL)
        device.serving = state.active.manifest_sha256 if state.active else None
        if MODEL in updater.states:
            await updater.dispatch(MODEL, Restarted())
        for _ in range(40):
            state = updater.state(MODEL)
            if state.phase.terminal and state.target == target(want):
                return state
            await step(updater, device, want=want)
        raise AssertionError(f"no end: {state}")
    finally:
        db.close()


async def step(updater: Updater, device: Device, *, want: int) -> None:
    phase = updater.state(MODEL).phase
    if accepts(phase, Wanted) and updater.state(MODEL).target != target(want):
        await updater.dispatch(MODEL, Wanted(target=target(want)))
    elif accepts(phase, Fetched):
        await updater.dispatch(MODEL, Fetched(release=release(want)))
    elif accepts(phase, WindowOpened):
        await updater.dispatch(MODEL, WindowOpened())
    elif phase is Phase.SELF_TESTING:
        passed = SelfTestPassed() if device.self_test_ok else SelfTestFailed(reason=BAD)
        await updater.dispatch(MODEL, passed)
    elif phase is Phase.PROBATION:
        assert device.serving is not None
        verdict = Healthy(manifest_sha256=device.serving) if device.healthy else Unhealthy(reason=BAD)
        await updater.dispatch(MODEL, verdict)
    else:
        raise AssertionError(f"nothing to do in {phase}")


def prepared(folder: Path) -> None:
    """Version 1 is committed."""
    db = StateDb.open(folder)
    with db.transaction("given") as connection:
        Journal(db).save(committed(1), connection=connection)
    db.close()


ENDS = {
    "good": (Phase.COMMITTED, 2),
    "fails its self-test": (Phase.REJECTED, 1),
    "does not load": (Phase.FELL_BACK, 1),
    "fails its probation": (Phase.FELL_BACK, 1),
}


def make(kind: str, folder: Path) -> Device:
    return Device(
        folder=folder,
        link=release(1).manifest_sha256,
        healthy=kind != "fails its probation",
        self_test_ok=kind != "fails its self-test",
        loads=kind != "does not load",
    )


@pytest.mark.parametrize("kind", ENDS)
def test_power_lost_at_each_point_ends_good_or_fallen_back(kind: str, tmp_path: Path) -> None:
    phase, version = ENDS[kind]
    cut = 0
    while True:
        folder = tmp_path / str(cut)
        prepared(folder)
        device = make(kind, folder)
        device.cut_at = cut
        try:
            asyncio.run(live(device, want=2))
            finished = True
        except PowerLost:
            finished = False
            assert_journal_serves(device)
        device.cut_at = -1
        state = asyncio.run(live(device, want=2))
        assert (state.phase, state.active) == (phase, release(version)), f"cut at {cut}"
        assert device.serving == release(version).manifest_sha256
        assert device.link == release(version).manifest_sha256
        if version == 2:
            assert state.previous == release(1)
        assert_one_report_each(folder)
        if finished:
            break
        cut += 1
    assert cut > 10


def assert_journal_serves(device: Device) -> None:
    """What the next start finds names a version that is known to be good."""
    db = StateDb.open(device.folder)
    state = Journal(db).load()[MODEL]
    db.close()
    assert state.active in (release(1), release(2))
    if state.active == release(2):
        assert state.previous == release(1)


def assert_one_report_each(folder: Path) -> None:
    db = StateDb.open(folder)
    keys = [row.payload.decode() for row in Outbox(db, max_bytes=1 << 20).after(0, limit=99)]
    db.close()
    assert len(keys) == len(set(keys))
    ends = [key for key in keys if key.rsplit(":", 1)[1] in ("COMMITTED", "REJECTED", "FELL_BACK")]
    assert len(ends) == 1, keys


@pytest.mark.parametrize("cuts", [1, 2, 3, 5])
def test_power_lost_again_and_again_in_probation_falls_back(cuts: int, tmp_path: Path) -> None:
    prepared(tmp_path)
    device = make("good", tmp_path)

    async def until_probation() -> ModelState:
        db = StateDb.open(device.folder)
        try:
            updater = Updater(db, Outbox(db, max_bytes=1 << 20), device, encode=lambda report: b"x")
            await updater.dispatch(MODEL, Restarted())
            while updater.state(MODEL).phase not in (Phase.PROBATION, Phase.FELL_BACK):
                await step(updater, device, want=2)
            return updater.state(MODEL)
        finally:
            db.close()

    phases = [asyncio.run(until_probation()).phase for _ in range(cuts + 1)]
    assert phases == ([Phase.PROBATION] * 3 + [Phase.FELL_BACK] * 9)[: cuts + 1]


def test_lost_active_gives_way_to_previous_and_is_wanted_again() -> None:
    state = committed(2, before=committed(1))
    lost = without_broken(state, {release(2).manifest_sha256})
    assert (lost.active, lost.previous, lost.phase, lost.target) == (release(1), None, Phase.IDLE, None)
    both = without_broken(state, {release(1).manifest_sha256, release(2).manifest_sha256})
    assert (both.active, both.previous) == (None, None)
    assert both.committed_counter == 2, "the floor stays"
    assert without_broken(state, {"0" * 64}) == state
    assert without_broken(state, {release(1).manifest_sha256}).active == release(2)


def test_journal_says_back_what_it_was_told(tmp_path: Path) -> None:
    from limosa_agent.update.machine import next_state

    state = committed(1)
    for event in (Wanted(target=target(2)), Fetched(release=release(2)), WindowOpened()):
        state, _ = next_state(state, event)
    state, actions = next_state(
        state, SelfTestFailed(reason=Reason(code="x", message="y", evidence={"n": 1}))
    )
    assert any(isinstance(action, Report) for action in actions)
    db = StateDb.open(tmp_path)
    with db.transaction("state") as connection:
        Journal(db).save(state, connection=connection)
    assert Journal(db).load() == {MODEL: state}
    db.close()


def test_database_of_a_newer_agent_is_left_alone(tmp_path: Path) -> None:
    db = StateDb.open(tmp_path)
    db._connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(StateTooNew):
        StateDb.open(tmp_path)
    assert (tmp_path / FILE).exists()


@pytest.mark.parametrize("damage", [b"", b"rubbish" * 999, b"SQLite format 3\0" + b"\xff" * 8000])
def test_damaged_database_is_set_aside(damage: bytes, tmp_path: Path) -> None:
    db = StateDb.open(tmp_path)
    db.count_boot()
    db.close()
    (tmp_path / FILE).write_bytes(damage)
    if damage:
        with pytest.raises(JournalCorrupt):
            StateDb.open(tmp_path)
        assert set_aside(tmp_path).read_bytes() == damage
    fresh = StateDb.open(tmp_path)
    assert fresh.count_boot() == 1
    fresh.close()


def test_late_failure_survives_a_cut(tmp_path: Path) -> None:
    db = StateDb.open(tmp_path)
    with db.transaction("given") as connection:
        Journal(db).save(committed(2, before=committed(1)), connection=connection)
    device = make("good", tmp_path)
    device.serving = device.link = release(2).manifest_sha256

    async def fail() -> None:
        updater = Updater(db, Outbox(db, max_bytes=1 << 20), device, encode=lambda report: b"x")
        device.cut_at = device.points  # the first effect of falling back
        await updater.dispatch(MODEL, LateFailure(reason=BAD))

    with pytest.raises(PowerLost):
        asyncio.run(fail())
    db.close()
    db = StateDb.open(tmp_path)

    async def recover() -> ModelState:
        updater = Updater(db, Outbox(db, max_bytes=1 << 20), device, encode=lambda report: b"x")
        await updater.dispatch(MODEL, Restarted())
        return updater.state(MODEL)

    state = asyncio.run(recover())
    db.close()
    assert (state.phase, state.active, device.serving) == (
        Phase.FELL_BACK, release(1), release(1).manifest_sha256,
    )  # fmt: skip
