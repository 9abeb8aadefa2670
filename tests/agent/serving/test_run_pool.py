"""Threads for slow models: every run comes back once, as a result or as its error (agent 5.4)."""

from __future__ import annotations

import asyncio
import threading
import time

from limosa_agent.serving.http_messages import Pending, Reply
from limosa_agent.serving.run_pool import RunPool


async def outcomes(pool: RunPool[int], numbers: list[int]) -> list[object]:
    """What `10 // number` comes to in the pool, in the order of their ends."""
    seen: list[object] = []
    all_seen = asyncio.Event()

    def done(result: int | None, failed: Exception | None) -> None:
        seen.append(type(failed).__name__ if failed else result)
        if len(seen) == len(numbers):
            all_seen.set()

    for number in numbers:
        pool.submit(lambda number=number: 10 // number, done)  # type: ignore[misc]  # a default binds it
    async with asyncio.timeout(20):
        await all_seen.wait()
    assert pool.waiting == 0
    return seen


def test_run_that_raises_hands_its_error_over_and_its_thread_goes_on() -> None:
    pool = RunPool[int](1)
    try:
        assert asyncio.run(outcomes(pool, [5, 0, 2, 0, 1])) == [
            2,
            "ZeroDivisionError",
            5,
            "ZeroDivisionError",
            10,
        ]
    finally:
        pool.close()


def test_no_more_threads_than_said_and_none_before_there_is_work() -> None:
    before = threading.active_count()
    pool = RunPool[int](2)
    assert threading.active_count() == before
    try:
        assert sorted(map(str, asyncio.run(outcomes(pool, [1, 2, 5] * 30)))) == sorted(["10", "5", "2"] * 30)
        assert threading.active_count() <= before + 2
    finally:
        pool.close()


def test_oldest_run_says_how_long_it_takes() -> None:
    async def hang() -> tuple[float, float]:
        pool, begun, go_on = RunPool[None](1), threading.Event(), threading.Event()
        ended = asyncio.Event()

        def run() -> None:
            begun.set()
            go_on.wait(20)

        pool.submit(run, lambda *_: ended.set())
        await asyncio.to_thread(begun.wait, 20)
        during = pool.longest_run_s(time.monotonic() + 7)
        go_on.set()
        await ended.wait()
        pool.close()
        return during, pool.longest_run_s(time.monotonic() + 7)

    during, after = asyncio.run(hang())
    assert during >= 7
    assert after == 0


def test_answer_that_cannot_be_written_is_an_error_of_its_request_not_a_silence() -> None:
    told: list[Reply | Exception] = []
    pending = Pending()
    pending.then(told.append)

    def broken() -> Reply:
        raise KeyError("bfloat16")

    pending.settle(broken)
    assert [type(one) for one in told] == [KeyError]
    late = Pending()
    late.settle(lambda: Reply(200))
    late.then(told.append)
    assert told[-1] == Reply(200)
