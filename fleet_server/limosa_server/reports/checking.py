"""Signatures and contents of many messages at once, on every core of the machine.

A signature costs 70 µs and a window's numbers as much again; Python does one thing at a time in one
process. So a large batch is shared out to worker processes, which start when the first one comes: a
fleet of five devices never starts any.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Final

from limosa_contracts.report_message import ReportMessage
from limosa_contracts.signing_keys import PublicKey
from limosa_server.reports.check_wire import Claimed, Verdict, pack_claims, read_verdicts
from limosa_server.reports.report_parsing import is_signed, parse_report

log = logging.getLogger(__name__)
WORTH_SHARING: Final = 64  # messages; below, handing them over costs more than it saves
WORKERS_MAX: Final = 4
KEYS_KEPT: Final = 20_000
WORKER: Final = "limosa_server.reports.check_worker"
END_S: Final = 5.0


def check(items: Sequence[Claimed], max_bytes: int) -> list[Verdict]:
    """In order. What comes twice, the same to the last bit, is checked once: a bad link doubles messages."""
    known: dict[tuple[str, ReportMessage], Verdict] = {}
    found: list[Verdict] = []
    for one in items:
        place = (one.device, one.message)
        if place not in known:
            known[place] = _verdict(one, max_bytes)
        found.append(known[place])
    return found


def _verdict(one: Claimed, max_bytes: int) -> Verdict:
    try:
        if not is_signed(one.device, one.message, [_key(pem) for pem in one.keys]):
            return None
        return parse_report(one.device, one.message, max_bytes)
    except Exception:  # recorded; a defect of ours must not stop everybody whose messages came with it
        log.exception("a %s of %s cannot be checked", one.message.suffix.value, one.device)
        return None


@lru_cache(maxsize=KEYS_KEPT)
def _key(pem: bytes) -> PublicKey:
    return PublicKey.parse(pem)


class Checkers:
    """Gives each message's verdict, in order. Not for two threads at once."""

    def __init__(self, *, max_bytes: int, workers: int | None = None) -> None:
        """`workers` None: one for each core, 4 at most; 0: all is done in this process."""
        self._max_bytes = max_bytes
        self._most = min(WORKERS_MAX, os.cpu_count() or 1) if workers is None else workers
        self._workers: list[_Worker] = []

    def check(self, items: Sequence[Claimed]) -> list[Verdict]:
        if len(items) < WORTH_SHARING or not self._most:
            return check(items, self._max_bytes)
        while len(self._workers) < self._most:
            self._workers.append(_Worker(self._max_bytes))
        shares = _shares(items, len(self._workers))
        for worker, share in zip(self._workers, shares, strict=True):
            worker.send(share)
        return [
            verdict
            for worker, share in zip(tuple(self._workers), shares, strict=True)
            for verdict in self._answer(worker, share)
        ]

    def stop(self) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers.clear()

    def _answer(self, worker: _Worker, share: Sequence[Claimed]) -> list[Verdict]:
        answer = worker.receive()
        if answer is not None:
            return answer
        log.warning("a worker that checks reports has ended; its share is checked here")
        self._workers.remove(worker)
        worker.stop()
        return check(share, self._max_bytes)


class _Worker:
    """`python -m limosa_server.reports.check_worker`: it ends when this end of the socket is closed,
    so also when this process is killed."""

    def __init__(self, max_bytes: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            end = theirs.fileno()
            command = [sys.executable, "-m", WORKER, str(end), str(max_bytes)]
            self._process = subprocess.Popen(command, pass_fds=(end,), stdin=subprocess.DEVNULL)
        self._connection = Connection(ours.detach())

    def send(self, share: Sequence[Claimed]) -> None:
        try:
            self._connection.send_bytes(pack_claims(share))
        except OSError:
            return  # it is found out when the answer does not come

    def receive(self) -> list[Verdict] | None:
        """None if it has ended."""
        try:
            return read_verdicts(self._connection.recv_bytes())
        except (EOFError, OSError):
            return None

    def stop(self) -> None:
        self._connection.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _shares(items: Sequence[Claimed], count: int) -> list[Sequence[Claimed]]:
    size = -(-len(items) // count)
    return [items[i * size : (i + 1) * size] for i in range(count)]
