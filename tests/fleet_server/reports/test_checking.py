"""Many reports are checked in worker processes: same verdicts, in order, whatever becomes of a worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from limosa_contracts.report_message import ReportMessage
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_contracts.topics import Suffix
from limosa_contracts.window import Window, skim
from limosa_server.reports.check_wire import Claimed, pack_verdicts, read_verdicts
from limosa_server.reports.checking import WORTH_SHARING, Checkers, check
from limosa_server.reports.report_parsing import Refusal
from tests.fleet_server.retention.samples import event, window
from tests.support.waiting import wait_until

MAX_BYTES = 64 * 1024
GOLDEN = Path(__file__).parents[2] / "contracts" / "golden"
DEVICES = 4


@pytest.fixture
def checkers() -> Iterator[Checkers]:
    made = Checkers(max_bytes=MAX_BYTES, workers=2)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def claims() -> list[Claimed]:
    """Good ones, forged ones, and ones that are nothing, of devices with one key or two."""
    keys = [SigningKey.generate(Algorithm.P256) for _ in range(DEVICES)]
    found: list[Claimed] = []
    for i in range(2 * WORTH_SHARING):
        device, key = f"d{i % DEVICES}", keys[i % DEVICES]
        kind = i % 5
        payload = window(device, index=i).encode() if kind < 3 else event(device, rollout="1").encode()
        if kind == 4:
            payload = b"{"
        message = ReportMessage.sign(
            keys[0] if i % 7 == 0 else key, device=device, suffix=Suffix.WINDOW if kind < 3 else Suffix.EVENT,
            session=1, seq=i + 1, prev=i, payload=payload,
        )  # fmt: skip
        renewed = (keys[-1].public.pem(), key.public.pem()) if i % 2 else (key.public.pem(),)
        found.append(Claimed(device=device, message=message, keys=renewed))
    return found


def workers_of(checkers: Checkers) -> list[int]:
    return [worker._process.pid for worker in checkers._workers]


def test_workers_give_the_verdicts_of_one_process_in_order(checkers: Checkers, claims: list[Claimed]) -> None:
    alone = check(claims, MAX_BYTES)
    assert checkers.check(claims) == alone
    assert len(workers_of(checkers)) == 2
    kinds = {type(verdict) for verdict in alone}
    assert {Window, Refusal, type(None)} < kinds


def test_a_few_reports_start_no_worker(checkers: Checkers, claims: list[Claimed]) -> None:
    assert len(checkers.check(claims[: WORTH_SHARING - 1])) == WORTH_SHARING - 1
    assert workers_of(checkers) == []


def test_a_worker_that_is_killed_costs_nothing_but_time(checkers: Checkers, claims: list[Claimed]) -> None:
    expected = checkers.check(claims)
    first, second = workers_of(checkers)
    os.kill(first, signal.SIGKILL)
    assert checkers.check(claims) == expected
    assert checkers.check(claims) == expected
    assert len(workers_of(checkers)) == 2
    assert second in workers_of(checkers)


def test_workers_end_with_the_server(claims: list[Claimed]) -> None:
    """Also when it is killed: their end of the socket tells them."""
    made = Checkers(max_bytes=MAX_BYTES, workers=2)
    made.check(claims)
    pids = workers_of(made)
    for worker in made._workers:
        worker._connection.close()
    wait_until(lambda: not any(_lives(pid) for pid in pids), timeout_s=10, what="the workers end")
    made.stop()


def _lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_window_comes_back_with_what_waves_are_compared_by_and_without_its_bins(
    checkers: Checkers, claims: list[Claimed]
) -> None:
    given = window("d1", index=1)
    verdict = checkers.check(claims)[1]
    assert isinstance(verdict, Window)
    assert (verdict.n, verdict.counters) == (given.n, given.counters)
    assert verdict.sketch.bins == ()


@pytest.mark.parametrize("name", ["window-1.json", "window-1-memory.json", "window-1-feedback.json"])
def test_every_kind_of_window_crosses_over_whole(name: str) -> None:
    """Also one with what a newer agent adds, or with feedback."""
    whole = Window.parse((GOLDEN / name).read_bytes(), read=skim)
    assert read_verdicts(pack_verdicts([whole, None, whole])) == [whole, None, whole]
