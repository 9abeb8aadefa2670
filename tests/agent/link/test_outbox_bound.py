"""Weeks without a link, or with a server that means ill: the outbox stays within its bytes (agent 6.2)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from limosa_agent.link.outbox import VERDICTS_MAX, Outbox
from limosa_agent.link.outbox_bound import ALIKE_MAX
from limosa_agent.store.state_db import StateDb
from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.phases import Phase
from limosa_contracts.topics import Suffix
from limosa_contracts.window import Window
from tests.agent.link.test_outbox import window

WAY = ("RESOLVING", "DOWNLOADING", "VERIFYING", "STAGED", "SELF_TESTING", "REJECTED")
STEPS = ("window", "alarm", "attempt", "sent")
WEEKS_S = 6 * 7 * 86400


@contextmanager
def opened(folder: Path, *, max_bytes: int = 65536) -> Iterator[Outbox]:
    db = StateDb.open(folder)
    try:
        yield Outbox(db, max_bytes=max_bytes)
    finally:
        db.close()


def event(key: str, *, kind: str = "alarm", code: str = "worker_crashed", **more: object) -> UpdateEvent:
    plain = UpdateEvent(
        device="dev-1", key=key, kind=kind, model="demo/motion", version="1.0.0", index_sha256="a" * 64,
        manifest_sha256="b" * 64, rollout="", attempt=1, phase=Phase.COMMITTED,
        reason=Reason(code=code, message="the worker ended", evidence={"signal": "SIGSEGV"}),
        at=5.0, boot="1-x",
    )  # fmt: skip
    return replace(plain, **more)  # type: ignore[arg-type]  # fields of an event, by name


def events(outbox: Outbox) -> list[UpdateEvent]:
    rows = outbox.after(0, limit=100_000)
    return [UpdateEvent.parse(row.payload) for row in rows if row.suffix is Suffix.EVENT]


def attempt(outbox: Outbox, number: int) -> None:
    for phase in WAY:
        step = event(
            f"r{number}:{phase}", kind="update", code="", rollout=f"r{number}", phase=Phase(phase), at=number
        )
        outbox.put_event(step.key, step.encode())


def test_crash_every_hour_for_six_weeks_is_told_one_by_one_then_counted(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        for hour in range(WEEKS_S // 3600):
            outbox.put_alarm(event(f"crash:{hour}", at=float(hour)))
        told = events(outbox)
        assert len(told) == ALIKE_MAX
        assert [e.key for e in told] == [f"crash:{hour}" for hour in range(ALIKE_MAX)]
        last = told[-1].reason.evidence
        assert last["repeated"] == WEEKS_S // 3600 - ALIKE_MAX + 1
        assert (last["since"], told[-1].at, last["signal"]) == (ALIKE_MAX - 1, 1007.0, "SIGSEGV")


def test_alarm_that_may_have_left_is_not_touched_and_the_next_is_told(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        for number in range(ALIKE_MAX):
            outbox.put_alarm(event(f"crash:{number}"))
        outbox.mark_sent(ALIKE_MAX)
        before = events(outbox)
        outbox.put_alarm(event("crash:new"))
        assert events(outbox) == [*before, event("crash:new")]


def test_alarms_of_other_kinds_are_not_thrown_together(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        for number in range(ALIKE_MAX + 5):
            outbox.put_alarm(event(f"a{number}"))
            outbox.put_alarm(event(f"b{number}", code="LM-509"))
            outbox.put_alarm(event(f"c{number}", manifest_sha256="c" * 64))
        assert len(events(outbox)) == 3 * ALIKE_MAX
        counts = [e.reason.evidence.get("repeated") for e in events(outbox)]
        assert [count for count in counts if count is not None] == [6, 6, 6]


def test_captured_director_begins_attempts_without_end_and_the_disk_does_not_fill(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=1 << 18) as outbox:
        begun = 0
        while outbox.may_begin() and begun < 10_000:
            attempt(outbox, begun)
            begun += 1
        assert begun == VERDICTS_MAX
        told = events(outbox)
        verdicts = [e.rollout for e in told if e.phase is Phase.REJECTED]
        assert verdicts == [f"r{number}" for number in range(begun)], "no verdict is ever lost"
        assert outbox.bytes <= 1 << 18
        outbox.mark_sent(10**6)
        outbox.acknowledged(session=outbox.session, seq=outbox.after(0, limit=100)[-1].seq)
        assert outbox.may_begin(), "told verdicts make room"


def test_attempt_that_is_under_way_keeps_its_last_step(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=8192) as outbox:
        for number in range(20):
            attempt(outbox, number)
        step = event("now", kind="update", rollout="now", phase=Phase.DOWNLOADING)
        outbox.put_event(step.key, step.encode())
        assert events(outbox)[-1] == step
        assert [e.rollout for e in events(outbox) if e.phase.terminal] == [f"r{n}" for n in range(20)]


@settings(max_examples=15, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 3)), max_size=80))
def test_whatever_happens_no_count_and_no_verdict_is_lost(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder), max_bytes=24_000) as outbox:
        counted, alarms, verdicts = 0, 0, []
        for number, (step, kind) in enumerate(steps):
            if step == "window":
                outbox.put_window(replace(window(number), model_digest=f"{kind}" * 16))
                counted += 30
            elif step == "alarm":
                outbox.put_alarm(event(f"alarm:{number}", code=f"c{kind}"))
                alarms += 1
            elif step == "attempt":
                attempt(outbox, number)
                verdicts.append(f"r{number}")
            elif rows := outbox.after(0, limit=1 + kind):
                outbox.mark_sent(rows[-1].seq)
        rows = outbox.after(0, limit=100_000)
        windows = [Window.parse(row.payload) for row in rows if row.suffix is Suffix.WINDOW]
        assert sum(one.n for one in windows) == counted
        told = events(outbox)
        repeated = [e.reason.evidence.get("repeated", 1) for e in told if e.kind == "alarm"]
        assert sum(count for count in repeated if isinstance(count, int)) == alarms
        assert [e.rollout for e in told if e.phase is Phase.REJECTED] == verdicts
        assert [row.prev for row in rows] == [0, *[row.seq for row in rows[:-1]]][: len(rows)]
