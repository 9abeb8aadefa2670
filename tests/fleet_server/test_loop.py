"""How often the server's loops work: at once when idle, seldom enough under load."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from limosa_server import run
from limosa_server.run import Loop
from tests.fleet_server.signed_fleet import SignedFleets
from tests.fleet_server.world import Fleet, running_fleet
from tests.support.waiting import wait_until

TOPICS = frozenset({"controller"})
LONG_S = 60.0


@pytest.fixture
def fleet(tmp_path: Path, signed_fleets: SignedFleets) -> Iterator[Fleet]:
    signed_fleets.copy(tmp_path)
    with running_fleet(tmp_path) as running:
        yield running


class Work:
    """Counts its rounds; each takes `took_s`."""

    def __init__(self, took_s: float) -> None:
        self.took_s = took_s
        self.begun: list[float] = []
        self.ended: list[float] = []

    def __call__(self) -> None:
        self.begun.append(time.monotonic())
        threading.Event().wait(self.took_s)
        self.ended.append(time.monotonic())


def loop_of(fleet: Fleet, work: Work, *, rest_max_s: float) -> Loop:
    return Loop("test", fleet.state, work, every_s=LONG_S, topics=TOPICS, rest_max_s=rest_max_s)


def test_what_comes_while_it_works_is_one_more_round_after_a_rest(fleet: Fleet) -> None:
    work = Work(0.2)
    loop = loop_of(fleet, work, rest_max_s=LONG_S)
    loop.start()
    try:
        wait_until(lambda: work.begun, timeout_s=10, what="it begins")
        for _ in range(50):
            fleet.state.store.notify(TOPICS)
        wait_until(lambda: len(work.ended) == 2, timeout_s=10, what="what was announced is looked at")
        assert work.begun[1] - work.ended[0] >= 0.19
        assert len(work.begun) == 2
    finally:
        loop.stop()


def test_an_idle_loop_begins_at_once(fleet: Fleet) -> None:
    work = Work(0.0)
    loop = loop_of(fleet, work, rest_max_s=LONG_S)
    loop.start()
    try:
        wait_until(lambda: work.ended, timeout_s=10, what="the first round")
        fleet.state.store.notify(TOPICS)
        wait_until(lambda: len(work.ended) > 1, timeout_s=LONG_S / 4, what="the round that was asked for")
    finally:
        loop.stop()


class SlowClock:
    """By it each piece of work took an hour."""

    now = 0.0

    def monotonic(self) -> float:
        self.now += 3600.0
        return self.now


def test_it_ends_while_it_rests(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "time", SlowClock())
    work = Work(0.0)
    loop = loop_of(fleet, work, rest_max_s=LONG_S)
    loop.start()
    wait_until(lambda: work.ended, timeout_s=10, what="the first round")
    loop.stop()
    assert [thread for thread in threading.enumerate() if thread.name == "test"] == []
