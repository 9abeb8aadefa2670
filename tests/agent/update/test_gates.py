"""What holds an update back: operators, applications, windows, and a clock that cannot be right."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import pytest

from limosa_agent.fetch.disk_use import check_room, disk_use
from limosa_agent.fetch.errors import DiskFull
from limosa_agent.fetch.paths import StatePaths
from limosa_agent.serving.slot_ref import ShadowCrashed, SlotRef
from limosa_agent.store.state_db import StateDb
from limosa_agent.update.events import Changed, Refused, Wanted
from limosa_agent.update.gatekeeper import Gatekeeper
from limosa_agent.update.guards import DISK_FULL
from limosa_agent.update.locks import held_locks
from limosa_agent.update.machine import next_state
from limosa_agent.update.rules import aged_quarantine
from limosa_agent.update.shadow_crash import blame
from limosa_agent.update.state import QUARANTINE_MAX, Facts, ModelState, Target
from limosa_agent.update.zones import DeviceZones
from limosa_contracts.event import Reason
from limosa_contracts.json_value import JsonObject
from limosa_contracts.phases import Phase
from tests.agent.update.exploring import BAD_WINDOW
from tests.agent.update.test_machine import BAD, committed, run, target

MODEL = "demo/motion"
NOON = 1_781_524_800.0  # 2026-06-15 12:00 UTC
NIGHTLY: JsonObject = {"open": [{"cron": "0 2 * * *", "duration_s": 3600, "tz": "UTC"}]}


class Clock:
    now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def db(tmp_path: Path) -> Iterator[StateDb]:
    opened = StateDb.open(tmp_path)
    yield opened
    opened.close()


def gatekeeper(db: StateDb, folder: Path, clock: Clock) -> Gatekeeper:
    locks = folder / "hold.d"
    return Gatekeeper(db, state_dir=folder, lock_dir=locks, time_floor=lambda: NOON - 1e6, clock=clock)


def wanted(window: JsonObject | None) -> Target:
    return Target(version="2.0.0", index_sha256="a" * 64, window=window)


@pytest.mark.parametrize("clock_at", [0.0, 4_102_444_800.0])
def test_clock_that_cannot_be_right_opens_no_window_and_holds_nothing_else(
    clock_at: float, db: StateDb, tmp_path: Path
) -> None:
    clock = Clock()
    clock.now = clock_at
    keeper = gatekeeper(db, tmp_path, clock)
    always: JsonObject = {"open": [{"cron": "* * * * *", "duration_s": 60, "tz": "UTC"}]}
    closed = keeper.gate(MODEL, wanted(always)).switch
    assert closed is not None
    assert closed.code == "clock_suspect"
    assert keeper.gate(MODEL, wanted(None)).switch is None


def test_window_opens_and_closes_by_the_clock_and_downloads_go_on(db: StateDb, tmp_path: Path) -> None:
    clock = Clock()
    keeper = gatekeeper(db, tmp_path, clock)
    gate = keeper.gate(MODEL, wanted(NIGHTLY))
    assert gate.switch is not None
    assert "2026-06-16 02:00 UTC" in gate.switch.message
    assert gate.download is None
    inside_only = keeper.gate(MODEL, wanted({**NIGHTLY, "download_outside": False}))
    assert inside_only.download == gate.switch
    clock.now = NOON + 14.5 * 3600
    assert keeper.gate(MODEL, wanted(NIGHTLY)).switch is None
    clock.now = NOON + 15 * 3600
    assert keeper.gate(MODEL, wanted(NIGHTLY)).switch is not None


def test_zone_that_is_not_on_this_disk_keeps_its_window_closed(db: StateDb, tmp_path: Path) -> None:
    window: JsonObject = {"open": [{"cron": "* * * * *", "duration_s": 60, "tz": "../../etc/passwd"}]}
    closed = gatekeeper(db, tmp_path, Clock()).gate(MODEL, wanted(window)).switch
    assert closed is not None
    assert closed.code == "unknown_timezone"


def test_file_made_by_hand_holds_until_it_is_removed(db: StateDb, tmp_path: Path) -> None:
    keeper = gatekeeper(db, tmp_path, Clock())
    (tmp_path / "hold").touch()
    held = keeper.gate(MODEL, wanted(None)).switch
    assert held is not None
    assert held.code == "hold"
    assert keeper.remove_file()
    assert keeper.gate(MODEL, wanted(None)).switch is None


def test_lock_of_a_process_that_is_dead_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "hold.d"
    folder.mkdir()
    program = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder / "robot")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        assert held_locks(folder) == ("robot",)
        child.kill()
        child.wait()
    assert (folder / "robot").exists()
    assert held_locks(folder) == ()


def test_what_is_no_file_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with (tmp_path / "elsewhere").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert held_locks(tmp_path) == ("elsewhere",)
    assert held_locks(tmp_path / "not there") == ()


def test_device_zone_is_what_the_device_is_set_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ", raising=False)
    assert DeviceZones(localtime=tmp_path / "none")("device") is UTC
    (tmp_path / "rubbish").write_bytes(b"TZif" + b"\xff" * 40)
    assert DeviceZones(localtime=tmp_path / "rubbish")("device") is UTC
    monkeypatch.setenv("TZ", ":Asia/Tokyo")
    assert str(DeviceZones()("device")) == "Asia/Tokyo"


# -- refusals that the device may outgrow (rollouts 3.9)
FACTS = Facts(agent="1", capabilities_sha256="a", free_bytes=1000)


def refused(code: str, **evidence: int) -> ModelState:
    reason = Reason(code=code, message="", evidence=dict(evidence))
    return run(committed(1), Wanted(target=target(2)), Refused(reason=reason, under=FACTS))


@pytest.mark.parametrize("code, facts, again", [
    ("no_fitting_variant", Facts(agent="1", capabilities_sha256="b", free_bytes=0), True),
    ("agent_too_old", Facts(agent="2", capabilities_sha256="a", free_bytes=0), True),
    ("agent_too_old", Facts(agent="1", capabilities_sha256="a", free_bytes=10**9), False),
    (DISK_FULL, Facts(agent="2", capabilities_sha256="b", free_bytes=2000), False),
    (DISK_FULL, Facts(agent="1", capabilities_sha256="a", free_bytes=1000 + 1024**2), False),
    (DISK_FULL, Facts(agent="1", capabilities_sha256="a", free_bytes=5_000_000), True),
])  # fmt: skip
def test_refusal_is_looked_at_again_only_when_what_it_was_about_has_changed(
    code: str, facts: Facts, again: bool
) -> None:
    state = refused(code, needed_bytes=5_000_000)
    after, actions = next_state(state, Changed(facts=facts))
    assert after.phase is (Phase.RESOLVING if again else Phase.REJECTED)
    assert bool(actions) == again


def test_refusal_of_the_release_itself_is_final() -> None:
    state = run(committed(1), Wanted(target=target(2)), Refused(reason=BAD))
    assert next_state(state, Changed(facts=FACTS)) == (state, ())


def test_quarantine_that_is_over_tries_nothing_by_itself() -> None:
    from limosa_agent.update.events import Fetched, SelfTestFailed, WindowOpened
    from tests.agent.update.test_machine import release

    state = run(
        committed(1), Wanted(target=target(2)), Fetched(release=release(2)), WindowOpened(),
        SelfTestFailed(reason=BAD),
    )  # fmt: skip
    stamped = aged_quarantine(state, now=NOON, life_s=100)
    assert [bad.until for bad in stamped.quarantine] == [int(NOON + 100)]
    assert aged_quarantine(stamped, now=NOON + 99, life_s=100) == stamped
    over = aged_quarantine(stamped, now=NOON + 101, life_s=100)
    assert over.quarantine == ()
    assert next_state(over, Wanted(target=target(2)))[0].phase is Phase.REJECTED
    assert next_state(over, Wanted(target=target(2, attempt=2)))[0].phase is Phase.RESOLVING
    assert next_state(stamped, Wanted(target=target(2, attempt=2)))[0].reason.code == "quarantined"


def test_window_that_cannot_be_read_refuses_its_release_only() -> None:
    state, _ = next_state(committed(1), Wanted(target=replace(target(2), window=BAD_WINDOW)))
    assert (state.phase, state.reason.code) == (Phase.REJECTED, "window_invalid")
    assert "at night" in state.reason.message


def test_end_of_the_shadow_worker_is_laid_to_whom_it_died_in_or_to_all() -> None:
    slots = tuple(
        SlotRef(model=model, version="1.0.0", manifest_sha256=digit * 64, directory="d")
        for model, digit in (("a/a", "1"), ("b/b", "2"))
    )
    assert [m for m, _ in blame(ShadowCrashed(models=slots, signal_name="SIGSEGV", running="b/b"))] == ["b/b"]
    assert [m for m, _ in blame(ShadowCrashed(models=slots, signal_name="SIGKILL"))] == ["a/a", "b/b"]


def test_disk_budget_says_which_model_holds_what(tmp_path: Path) -> None:
    state = StatePaths(tmp_path)
    one, two = (state.models / name / "releases" / "r" for name in ("demo/a", "demo/b"))
    for folder in (one, two, state.blobs):
        folder.mkdir(parents=True)
    (state.blob("x")).write_bytes(b"x" * 100)
    os.link(state.blob("x"), one / "m")
    os.link(state.blob("x"), two / "m")
    (two / "own").write_bytes(b"y" * 50)
    (state.blob("z")).write_bytes(b"z" * 7)
    use = disk_use(state)
    assert (use.by_model, use.total) == ({"demo/a": 100, "demo/b": 50, "": 7}, 157)
    check_room(state, 43, reserve=0, disk_max=200)
    with pytest.raises(DiskFull) as caught:
        check_room(state, 44, reserve=0, disk_max=200)
    assert caught.value.evidence["needed_bytes"] == 44
    assert "demo/a holds 100" in caught.value.why


def test_closed_window_is_not_looked_up_again_before_it_can_have_opened(db: StateDb, tmp_path: Path) -> None:
    looked: list[float] = []
    now = [NOON]

    def zones(name: str) -> tzinfo | None:
        looked.append(now[0])
        return UTC

    keeper = Gatekeeper(
        db,
        state_dir=tmp_path,
        lock_dir=tmp_path / "d",
        time_floor=lambda: NOON,
        clock=lambda: now[0],
        zones=zones,
    )
    opens_at = datetime.fromtimestamp(NOON + 120, UTC)
    night = replace(
        target(2),
        window={
            "open": [{"cron": f"{opens_at.minute} {opens_at.hour} * * *", "duration_s": 600, "tz": "UTC"}]
        },
    )
    seen = []
    for second in range(180):
        now[0] = NOON + second
        seen.append(keeper.gate("demo/motion", night).switch is None)
    assert seen.index(True) == (NOON // 60 * 60 + 120) - NOON
    assert len({at for at in looked if at < NOON + seen.index(True)}) <= 3
    now[0] = NOON  # a clock that was put back is believed
    assert keeper.gate("demo/motion", night).switch is not None


def test_window_is_not_opened_late_by_what_was_found_before_it(db: StateDb, tmp_path: Path) -> None:
    """Looked at half a minute before the full minute, a window of one minute was half over when it opened."""
    clock = Clock()
    clock.now = NOON + 30
    keeper = gatekeeper(db, tmp_path, clock)
    minute: JsonObject = {"open": [{"cron": "2 12 * * *", "duration_s": 60, "tz": "UTC"}]}
    seen = []
    while clock.now < NOON + 200:
        seen.append((clock.now - NOON, keeper.gate(MODEL, wanted(minute)).switch is None))
        clock.now += 5
    assert [at for at, is_open in seen if is_open] == [float(at) for at in range(120, 180, 5)]


def test_models_are_taken_away_unless_the_device_keeps_them(db: StateDb, tmp_path: Path) -> None:
    gone = replace(wanted(None), mode="absent")
    assert gatekeeper(db, tmp_path, Clock()).gate(MODEL, gone).switch is None
    keeper = Gatekeeper(
        db, state_dir=tmp_path, lock_dir=tmp_path / "hold.d", time_floor=lambda: NOON, removable=False
    )
    kept = keeper.gate(MODEL, gone).switch
    assert kept is not None
    assert kept.code == "not_removable"
    assert keeper.gate(MODEL, wanted(None)).switch is None, "it takes new releases all the same"


def test_operator_reads_of_their_hold_first_and_of_the_window_when_it_is_over(
    db: StateDb, tmp_path: Path
) -> None:
    """The window opens by itself; a hold does not."""
    keeper = gatekeeper(db, tmp_path, Clock())
    (tmp_path / "hold").touch()
    held = keeper.gate(MODEL, wanted({**NIGHTLY, "download_outside": False}))
    assert held.switch is not None
    assert held.download is not None
    assert (held.switch.code, held.download.code) == ("hold", "outside_window")
    keeper.remove_file()
    closed = keeper.gate(MODEL, wanted(NIGHTLY)).switch
    assert closed is not None
    assert closed.code == "outside_window"


def test_release_with_the_counter_that_was_committed_is_no_downgrade() -> None:
    """trust 2.4 says lower: the same release in another variant, after new hardware, has the same."""
    from limosa_agent.update.events import Fetched
    from tests.agent.update.test_machine import release

    again = replace(release(2), release_counter=3)
    assert committed(3).committed_counter == 3
    assert run(committed(3), Wanted(target=target(2)), Fetched(release=again)).phase is Phase.STAGED


def test_what_an_attempt_was_refused_for_is_not_carried_into_the_next() -> None:
    """The disk was full for one release; the next one failed its self-test, space was freed, and what is
    bad here was fetched again (rollouts 3.9)."""
    from limosa_agent.update.events import Fetched, SelfTestFailed, WindowOpened
    from tests.agent.update.test_machine import release

    full = refused(DISK_FULL, needed_bytes=5_000_000)
    assert full.refused_under == FACTS
    bad = run(
        full,
        Wanted(target=target(3)),
        Fetched(release=release(3)),
        WindowOpened(),
        SelfTestFailed(reason=BAD),
    )
    assert (bad.phase, bad.refused_under) == (Phase.REJECTED, None)
    freed = Changed(facts=replace(FACTS, agent="2", free_bytes=10**9))
    assert next_state(bad, freed) == (bad, ())


def test_oldest_of_many_bad_releases_is_forgotten_and_never_the_one_that_failed_now() -> None:
    from limosa_agent.update.events import Fetched, SelfTestFailed, WindowOpened
    from tests.agent.update.test_machine import release

    state = committed(1)
    for number in range(2, QUARANTINE_MAX + 4):
        state = run(
            state, Wanted(target=target(number)), Fetched(release=release(number)), WindowOpened(),
            SelfTestFailed(reason=BAD),
        )  # fmt: skip
    kept = [bad.manifest_sha256 for bad in state.quarantine]
    assert kept == [release(number).manifest_sha256 for number in range(4, QUARANTINE_MAX + 4)]


def test_model_that_was_taken_away_does_not_come_back_lower_than_it_was() -> None:
    """trust 2.4: a removal is no way around the committed counter."""
    from limosa_agent.update.events import Fetched, Linked
    from tests.agent.update.test_machine import release

    gone = run(committed(3), Wanted(target=replace(target(3), mode="absent", rollout="9")), Linked())
    assert (gone.phase, gone.active, gone.committed_counter) == (Phase.REMOVED, None, 3)
    lower = run(gone, Wanted(target=target(2)), Fetched(release=release(2)))
    assert (lower.phase, lower.reason.code) == (Phase.REJECTED, "downgrade")
