"""What the update machine and its journal promise at each moment of an attempt (agent 2, 3, 4.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from limosa_agent.fetch.slots import installed, read_current
from limosa_agent.update.events import Healthy, LateFailure, SelfTestPassed, Unhealthy, Wanted, WindowOpened
from limosa_agent.update.state import ModelState
from limosa_contracts.phases import Phase
from tests.crash.disk_pool import Booted, agent, stopped
from tests.crash.lab import Lab, sha_of
from tests.crash.programs import ABSENT, BAD, MODEL
from tests.crash.slot_promises import slots_are_whole, something_serves

WAYS: Final = {
    "healthy": (Phase.STAGED, Phase.SELF_TESTING, Phase.ACTIVATING, Phase.PROBATION, Phase.COMMITTED),
    "unhealthy": (
        Phase.STAGED, Phase.SELF_TESTING, Phase.ACTIVATING, Phase.PROBATION, Phase.FALLING_BACK,
        Phase.FELL_BACK,
    ),
    "late": (Phase.COMMITTED, Phase.FALLING_BACK, Phase.FELL_BACK),
    "absent": (Phase.COMMITTED, Phase.REMOVING, Phase.REMOVED),
}  # fmt: skip
"""The phases of an attempt in their order, by its verdict."""
STEPS_MAX: Final = 12


async def update_keeps_its_promises(lab: Lab, folder: Path, marks: frozenset[str], *, verdict: str) -> None:
    """On a folder as a loss of power left it: as it is, after a start, and at the end of the attempt."""
    one, two = sha_of(lab.one), sha_of(lab.two)
    slots_are_whole(folder, linked=[one, two, None])
    something_serves(folder, allowed=[one, two])
    with agent(lab.config(folder)) as booted:
        assert booted.corrupt is None, booted.corrupt
        found = booted.state(MODEL)
        transitions_are_kept(found, marks, verdict=verdict)
        await booted.supervisor.start()
        serving_follows_the_journal(booted, found, failed=two)
        await to_the_end(booted, verdict=verdict)
        state = booted.state(MODEL)
        await stopped(booted)
        good = two if verdict == "healthy" else one
        assert state.phase is WAYS[verdict][-1]
        assert state.active is not None
        assert state.active.manifest_sha256 == booted.serving(MODEL) == good
        assert state.committed_counter == (1 if verdict == "unhealthy" else 2)
        bad = {bad.manifest_sha256 for bad in state.quarantine}
        assert bad == (set() if verdict == "healthy" else {two})
        if verdict == "healthy":
            assert state.previous is not None
            assert state.previous.manifest_sha256 == one
        the_end_is_reported_once(booted, f"r2:1:{MODEL}:{state.phase.value}")
    model = lab.device(folder).model.folder
    slots_are_whole(folder, linked=[good])
    assert read_current(model) == good
    assert set(installed(model)) == {one, two} if verdict == "healthy" else {one}
    assert something_serves(folder, allowed=[good]) == good


async def removal_keeps_its_promises(lab: Lab, folder: Path, marks: frozenset[str]) -> None:
    """A model that is not wanted: it serves until that is durable, then never again, and leaves nothing
    but the counter below which nothing may be installed (agent 2, absent; trust 2.4)."""
    one, model = sha_of(lab.one), lab.device(folder).model.folder
    slots_are_whole(folder, linked=[one, None])
    if f"after {MODEL} REMOVED" in marks:
        assert read_current(model) is None, "the link to a removed model is there again"
    with agent(lab.config(folder)) as booted:
        assert booted.corrupt is None, booted.corrupt
        found = booted.state(MODEL)
        transitions_are_kept(found, marks, verdict="absent")
        await booted.supervisor.start()
        if found.phase is Phase.COMMITTED:
            assert booted.serving(MODEL) == one
            await booted.supervisor.updater.dispatch(MODEL, Wanted(target=ABSENT))
        else:
            assert booted.pool.served == set(), "a model that is not wanted was loaded"
        state = booted.state(MODEL)
        await stopped(booted)
        assert state.phase is Phase.REMOVED
        assert (state.active, state.previous, booted.serving(MODEL)) == (None, None, None)
        assert state.committed_counter == 1
        the_end_is_reported_once(booted, f"r3:1:{MODEL}:REMOVED")
    assert (read_current(model), installed(model)) == (None, ())


def the_end_is_reported_once(booted: Booted, key: str) -> None:
    keys = [str(row[0]) for row in booted.supervisor.outbox._db.query("SELECT key FROM outbox")]
    assert keys.count(key) == 1, f"the end was reported {keys.count(key)} times: {keys}"


def transitions_are_kept(found: ModelState, marks: frozenset[str], *, verdict: str) -> None:
    """agent 2: every transition is durable before its side effect, and none is ever undone."""
    way = WAYS[verdict]
    reached = max((way.index(phase) for phase in way if f"after {MODEL} {phase.value}" in marks), default=0)
    assert found.phase in way, found.phase
    assert way.index(found.phase) >= reached, (
        f"{way[reached].value} was reached, {found.phase.value} is found"
    )


def serving_follows_the_journal(booted: Booted, found: ModelState, *, failed: str) -> None:
    """agent 3: only what is committed, or on trial, answers; what has failed never does again."""
    serving = booted.serving(MODEL)
    named = {release.manifest_sha256 for release in (found.active, found.candidate) if release}
    assert serving in named, f"{serving} answers"
    if found.phase in (Phase.FALLING_BACK, Phase.FELL_BACK):
        assert failed not in booted.pool.served, "a version that had failed was loaded"
    if found.phase is Phase.COMMITTED:
        assert found.active is not None
        assert serving == found.active.manifest_sha256


async def to_the_end(booted: Booted, *, verdict: str) -> None:
    """As the device would go on: windows open, tests pass, and health says `verdict`."""
    updater = booted.supervisor.updater
    for _ in range(STEPS_MAX):
        phase = updater.state(MODEL).phase
        if phase is WAYS[verdict][-1]:
            return
        if phase in (Phase.STAGED, Phase.WAITING_FOR_WINDOW):
            await updater.dispatch(MODEL, WindowOpened())
        elif phase is Phase.SELF_TESTING:
            await updater.dispatch(MODEL, SelfTestPassed())
        elif phase is Phase.COMMITTED:
            await updater.dispatch(MODEL, LateFailure(reason=BAD))
        elif phase is Phase.PROBATION:
            served = booted.serving(MODEL) or ""
            healthy = Healthy(manifest_sha256=served)
            await updater.dispatch(MODEL, healthy if verdict == "healthy" else Unhealthy(reason=BAD))
        else:
            break
    raise AssertionError(f"no end: {updater.state(MODEL)}")
