"""Generations: the switch nobody notices, and the way back (agent 1)."""

from __future__ import annotations

import json
import os
import signal
import struct
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from limosa_agent.serving.errors import LoadFailed, NothingToFallBackTo, WorkerGone
from tests.agent.serving.conftest import RunningPool, StartPool, models_of, quick_limits
from tests.agent.serving.http_client import Client, request, row
from tests.agent.serving.releases import TINY, crash_plan, endless_plan, install, slow_plan, tiny_plan
from tests.support.waiting import wait_until

PATH = f"/v2/models/{TINY}/infer"


class Load:
    """Keep-alive clients that ask as fast as they are answered; every miss is kept."""

    def __init__(self, port: int, clients: int = 4) -> None:
        self._port = port
        self._end = threading.Event()
        self.answered: Counter[str] = Counter()
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(20)

    @property
    def total(self) -> int:
        return self.answered.total()

    def has_more_than(self, number: int) -> bool:
        return self.total > number

    def _ask(self) -> None:
        message = request("POST", PATH, json.dumps(row(1, 2, 3)).encode())
        client = Client(self._port)
        while not self._end.is_set():
            try:
                client.send(message)
                answer = client.receive()
            except OSError as error:
                self.failed.append(repr(error))
                client.close()
                client = Client(self._port)
                continue
            if answer.status == 200:
                self.answered[answer.json["model_version"]] += 1
            else:
                self.failed.append(f"{answer.status} {answer.body!r}")
            if answer.closes:
                client.close()
                client = Client(self._port)
        client.close()


def version_that_answers(port: int) -> str:
    with Client(port) as client:
        answer = client.infer(TINY, row(1, 2, 3))
    assert answer.status == 200, answer.body
    version: str = answer.json["model_version"]
    return version


def test_twenty_switches_under_load_fail_no_request(start_pool: StartPool, slots: Path) -> None:
    releases = [install(tiny_plan(f"1.0.{i}"), slots) for i in range(2)]
    pool = start_pool(releases[0])
    load = Load(pool.port)
    try:
        for i in range(20):
            before = load.total
            pool.switch(releases[(i + 1) % 2], keep_standby=i % 2 == 0)
            wait_until(partial(load.has_more_than, before + 20), timeout_s=10, what="answers after a switch")
            if i % 2 == 0:
                pool.call(pool.pool.release_standby())
    finally:
        load.stop()
    assert load.failed == []
    assert load.total > 400
    assert set(load.answered) == {"1.0.0", "1.0.1"}
    assert pool.crashes == []


def test_idle_connection_gets_its_next_answer_from_the_old_generation_and_is_closed_then(
    start_pool: StartPool, slots: Path
) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    with Client(pool.port) as old:
        assert not old.infer(TINY, row(1, 2, 3)).closes
        pool.switch(install(tiny_plan("2.0.0"), slots), keep_standby=True)
        with Client(pool.port) as fresh:
            answer = fresh.infer(TINY, row(1, 2, 3))
            assert (answer.json["model_version"], answer.closes) == ("2.0.0", False)
        last = old.infer(TINY, row(1, 2, 3))
        assert (last.status, last.json["model_version"], last.closes) == (200, "1.0.0", True)
        assert old.at_end()


def test_idle_connection_survives_release_of_the_standby_until_its_next_request(
    start_pool: StartPool, slots: Path
) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    with Client(pool.port) as old:
        assert old.infer(TINY, row(1, 2, 3)).status == 200
        pool.switch(install(tiny_plan("2.0.0"), slots))
        pool.call(pool.pool.release_standby())
        assert len(pool.pool.worker_pids) == 2  # the one that leaves still has a connection
        last = old.infer(TINY, row(1, 2, 3))
        assert (last.status, last.closes) == (200, True)
    wait_until(lambda: len(pool.pool.worker_pids) == 1, timeout_s=10, what="the old worker ends")


def test_pipelined_requests_are_all_answered_while_draining(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(slow_plan("1.0.0"), slots))
    message = request("POST", PATH, json.dumps(row(1, 2, 3)).encode())
    with Client(pool.port) as client:
        client.send(message)
        assert client.receive().status == 200
        client.send(message * 6)
        pool.switch(install(slow_plan("1.0.1"), slots))
        answers = [client.receive() for _ in range(6)]
        assert [answer.status for answer in answers] == [200] * 6
        assert not any(answer.closes for answer in answers[:-1])


def test_crash_on_a_live_request_puts_the_standby_back_at_once(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    pool.switch(install(crash_plan("2.0.0"), slots), keep_standby=True)
    with Client(pool.port) as client, pytest.raises(ConnectionError):
        client.infer(TINY, row(-1, -1, -1))
    crash = pool.wait_for_crash()
    assert (crash.generation, crash.signal_name, crash.put_back) == (2, "SIGFPE", True)
    assert (crash.requests_lost, crash.running) == (1, TINY)
    assert version_that_answers(pool.port) == "1.0.0"
    assert pool.pool.generation == 1
    assert models_of(pool) == [f"{TINY}@1.0.0"]
    assert pool.call(pool.pool.fall_back()) == 1  # nothing is left to do
    assert crash.back_after_s < 0.1 * 5  # agent 1 says 100 ms; the benchmark holds it to that


def test_requests_that_no_worker_had_accepted_survive_a_crash(start_pool: StartPool, slots: Path) -> None:
    """The listening socket is the supervisor's: what waits in the kernel is answered by the standby."""
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    pool.switch(install(crash_plan("2.0.0"), slots), keep_standby=True)
    crashing = pool.pool.worker_pids[0]
    os.kill(crashing, signal.SIGSTOP)
    with Client(pool.port) as waiting:
        waiting.send(request("POST", PATH, json.dumps(row(1, 2, 3)).encode()))
        os.kill(crashing, signal.SIGKILL)
        answer = waiting.receive()
    assert (answer.status, answer.json["model_version"]) == (200, "1.0.0")
    assert pool.wait_for_crash().requests_lost == 0


def test_failed_check_falls_back_warm(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    pool.switch(install(tiny_plan("2.0.0"), slots), keep_standby=True)
    load = Load(pool.port, clients=2)
    wait_until(lambda: load.answered["2.0.0"] > 20, timeout_s=10, what="answers of the candidate")
    assert pool.call(pool.pool.fall_back()) == 1
    assert version_that_answers(pool.port) == "1.0.0"
    before = load.answered["1.0.0"]
    wait_until(lambda: load.answered["1.0.0"] > before + 20, timeout_s=10, what="answers of the previous one")
    load.stop()
    assert load.failed == []
    wait_until(lambda: len(pool.pool.worker_pids) == 1, timeout_s=10, what="the failing worker ends")


def test_fall_back_without_a_warm_standby_starts_the_previous_set_again(
    start_pool: StartPool, slots: Path
) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    pool.switch(install(tiny_plan("2.0.0"), slots), keep_standby=False)
    assert pool.call(pool.pool.fall_back()) == 3
    assert version_that_answers(pool.port) == "1.0.0"


def test_standby_killed_during_probation_is_started_again_by_the_fall_back(
    start_pool: StartPool, slots: Path
) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    pool.switch(install(tiny_plan("2.0.0"), slots), keep_standby=True)
    os.kill(pool.pool.worker_pids[1], signal.SIGKILL)
    wait_until(lambda: len(pool.pool.worker_pids) == 1, timeout_s=5, what="the standby is gone")
    assert version_that_answers(pool.port) == "2.0.0"
    pool.call(pool.pool.fall_back())
    assert version_that_answers(pool.port) == "1.0.0"
    assert pool.crashes == []  # the generation that serves never crashed


def test_nothing_to_fall_back_to_is_said(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    with pytest.raises(NothingToFallBackTo):
        pool.call(pool.pool.fall_back())


def test_release_that_does_not_load_leaves_the_running_one_untouched(
    start_pool: StartPool, slots: Path
) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    broken = install(tiny_plan("2.0.0"), slots)
    (Path(broken.directory) / "model.onnx").write_bytes(b"this is no model")
    with pytest.raises(LoadFailed, match="does not load"):
        pool.switch(broken)
    assert pool.pool.generation == 1
    assert version_that_answers(pool.port) == "1.0.0"
    assert len(pool.pool.worker_pids) == 1


def test_release_that_kills_its_worker_while_loading_names_the_signal(
    start_pool: StartPool, slots: Path
) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    plan = crash_plan("2.0.0")
    fatal = install(plan, slots)
    path = Path(fatal.directory) / "golden.safetensors"
    golden = path.read_bytes()
    header = 8 + int.from_bytes(golden[:8], "little")
    minus_ones = struct.pack("<f", -1.0) * ((len(golden) - header) // 4)
    path.write_bytes(golden[:header] + minus_ones)
    with pytest.raises(LoadFailed, match="SIGFPE"):
        pool.switch(fatal)
    assert version_that_answers(pool.port) == "1.0.0"


def test_crash_without_standby_is_restarted_with_the_same_set(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots), limits=quick_limits(restart_first_s=0.05))
    os.kill(pool.pool.worker_pids[0], signal.SIGKILL)
    crash = pool.wait_for_crash()
    assert (crash.put_back, crash.signal_name) == (False, "SIGKILL")
    wait_until(lambda: pool.pool.worker_pids, timeout_s=15, what="the set serves again")
    assert version_that_answers(pool.port) == "1.0.0"
    assert pool.pool.generation == 2


def test_worker_that_hangs_is_killed_and_the_standby_put_back(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots), limits=quick_limits(hang_s=1.5))
    pool.switch(install(tiny_plan("2.0.0"), slots), keep_standby=True)
    os.kill(pool.pool.worker_pids[0], signal.SIGSTOP)
    crash = pool.wait_for_crash()
    assert (crash.hung, crash.put_back) == (True, True)
    assert version_that_answers(pool.port) == "1.0.0"


@pytest.mark.parametrize("slow", [False, True], ids=["on the loop", "in a thread"])
def test_run_that_never_ends_is_a_hang(start_pool: StartPool, slots: Path, slow: bool) -> None:
    pool = start_pool(
        install(tiny_plan("1.0.0"), slots), limits=quick_limits(hang_s=1.0, run_max_s=1.0, threads=2)
    )
    pool.switch(install(endless_plan("7.7.7", slow=slow), slots), keep_standby=True)
    with Client(pool.port) as stuck:
        stuck.send(request("POST", f"/v2/models/{TINY}/infer", json.dumps(row(-1, -1, -1)).encode()))
        crash = pool.wait_for_crash()
    assert (crash.hung, crash.put_back, crash.running) == (True, True, TINY)
    assert version_that_answers(pool.port) == "1.0.0"


def test_frozen_container_is_no_hang(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots), limits=quick_limits(hang_s=1.5))
    (pid,) = pool.pool.worker_pids

    async def freeze() -> None:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(3.0)  # noqa: ASYNC251  the loop stands still, as in a process that is frozen
        os.kill(pid, signal.SIGCONT)

    pool.call(freeze())
    time.sleep(2.0)  # two looks at the workers
    assert list(pool.pool.worker_pids) == [pid]
    assert not pool.crashes


def test_device_without_a_model_says_so(start_pool: StartPool) -> None:
    pool = start_pool()
    with Client(pool.port) as client:
        assert client.ask("GET", "/v2/health/live").status == 200
        assert client.ask("GET", "/v2/health/ready").status == 503
        answer = client.infer(TINY, row(1, 2, 3))
        assert (answer.status, answer.json["code"]) == (503, "LM-564")
        assert "retry-after" in answer.headers


def test_golden_replay_answers_for_a_device_without_traffic(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    replay = pool.call(pool.pool.replay_golden(TINY))
    assert (replay["n"], replay["failed"]) == (4, 0)
    with pytest.raises(WorkerGone, match="not loaded"):
        pool.call(pool.pool.replay_golden("demo/other"))
    snapshot = pool.call(pool.pool.observe())[TINY]
    assert isinstance(snapshot, dict)
    assert (snapshot["replayed"], snapshot["n"]) == (4, 0)


def test_nothing_is_lost_of_what_a_generation_counted_before_it_left(
    start_pool: StartPool, slots: Path
) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots), limits=quick_limits(observe_every_s=3600))
    with Client(pool.port) as client:
        for _ in range(10):
            client.infer(TINY, row(1, 2, 3))
        pool.switch(install(tiny_plan("2.0.0"), slots), keep_standby=False)
        client.infer(TINY, row(1, 2, 3))
    wait_until(lambda: len(pool.pool.worker_pids) == 1, timeout_s=10, what="the old worker ends")
    counts = [event.snapshot["n"] for event in pool.observations if event.generation == 1]
    assert (counts[0], counts[-1]) == (10, 11)


def test_stop_finishes_what_was_begun(start_pool: StartPool, slots: Path) -> None:
    pool: RunningPool = start_pool(install(slow_plan("1.0.0"), slots))
    with Client(pool.port) as client:
        client.send(request("POST", PATH, json.dumps(row(1, 2, 3)).encode()) * 3)
        wait_until(lambda: client.receive().status == 200, timeout_s=5, what="the first answer")
        began = time.monotonic()
        pool.call(pool.pool.stop())
        assert time.monotonic() - began < 5
        assert [client.receive().status for _ in range(2)] == [200, 200]
    assert pool.pool.worker_pids == ()
