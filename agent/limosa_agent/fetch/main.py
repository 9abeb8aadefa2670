"""The fetch child: one request on stdin, JSON lines on stdout. Short-lived, so that python-tuf and its
memory stay out of the supervisor (agent 1)."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import BinaryIO

from limosa_agent.fetch.download import NO_SPACE
from limosa_agent.fetch.durable import DISK, Disk
from limosa_agent.fetch.errors import ClockSuspect, DiskFull, FetchBusy, MetadataExpired, MirrorRefused
from limosa_agent.fetch.install import Installation, free_bytes
from limosa_agent.fetch.paths import StatePaths
from limosa_agent.fetch.request import FetchRequest, error_line
from limosa_agent.fetch.resolve import Repository
from limosa_agent.fetch.slots import try_lock
from limosa_agent.orphan import end_with_parent
from limosa_contracts.canonical import encode_canonical
from limosa_contracts.errors import Internal, LimosaError, SystemRefused, TrustError
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.phases import Phase

Emit = Callable[[dict[str, JsonValue]], None]
Clock = Callable[[], float]


def fetch(
    request: FetchRequest, emit: Emit, *, clock: Clock = time.time, disk: Disk = DISK
) -> dict[str, JsonValue]:
    """Carries out one request; `emit` gets progress. Raises LimosaError, OSError."""
    state = StatePaths(request.state_dir)
    deadline = time.monotonic() + request.limits.lock_wait_s
    while True:
        with try_lock(state) as held:
            if held:
                try:
                    repository = Repository(request, clock=clock(), disk=disk)
                    return _carry_out(request, repository, state, emit, disk)
                except TrustError as error:
                    raise _of_mirror(error, request) from error
        if time.monotonic() > deadline:
            raise FetchBusy("another download of this device is running", where=str(state.lock))
        time.sleep(0.1)


def _carry_out(
    request: FetchRequest, repository: Repository, state: StatePaths, emit: Emit, disk: Disk
) -> dict[str, JsonValue]:
    director = _refresh(repository)
    result: dict[str, JsonValue] = {
        "director_pem": director,
        "time_floor": repository.time_floor,
        "clock_suspect": repository.clock_suspect,
    }
    if request.offer is None:
        desired = repository.desired()
        return {"result": result if desired is None else {**result, "desired": _text(desired)}}
    resolved = repository.resolve(request.offer, disk_free_bytes=free_bytes(state.folder))
    progress = _Progress(emit, every_s=request.limits.progress_every_s)
    installation = Installation(
        repository, resolved, state=state, limits=request.limits, tell=progress.tell, disk=disk
    )
    progress.received = lambda: installation.received
    try:
        outcome = installation.run()
    finally:
        progress.last()
    return {
        "result": {
            **result,
            "manifest_sha256": outcome.release.manifest_sha256,
            "index_sha256": outcome.release.index_sha256,
            "variant": outcome.release.variant,
            "release_counter": outcome.release.release_counter,
            "may_return_to": list(outcome.release.may_return_to),
            "size_bytes": outcome.release.size_bytes,
            "directory": str(outcome.directory),
            "bytes": 0 if request.mirror else outcome.received,
            "transfer": {"bytes": 0, "way": "mirror"}
            if request.mirror
            else outcome.savings.as_json(outcome.received),
        }
    }


def _of_mirror(error: TrustError, request: FetchRequest) -> LimosaError:
    """trust 3.5: a stick is forgotten, and refuses nothing for good: the server may have what it lacks."""
    if request.mirror is None:
        return error
    return MirrorRefused("a mirror is not to be used", where=str(request.mirror), why=str(error))


def _text(envelope: bytes) -> str:
    try:
        return envelope.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MirrorRefused("a desired document is no text", where="desired") from error


def _refresh(repository: Repository) -> str:
    """trust 3.3: what expired by a clock that cannot be right is not installed, nor refused for good."""
    try:
        return repository.refresh()
    except MetadataExpired as error:
        if not repository.clock_suspect:
            raise
        raise ClockSuspect("the clock of this device is wrong", where=error.where, why=error.why) from error


class _Progress:
    """A line when the phase changes, else at most one per `every_s`."""

    def __init__(self, emit: Emit, *, every_s: float) -> None:
        self._emit = emit
        self._every_s = every_s
        self._phase: Phase | None = None
        self._told = 0.0
        self._last: tuple[int, int, int] | None = None
        self.received: Callable[[], int] = lambda: 0

    def tell(self, phase: Phase, done: int, of: int) -> None:
        now = time.monotonic()
        if phase is self._phase and done < of and now - self._told < self._every_s:
            return
        self._phase, self._told = phase, now
        self._say(done, of)

    def last(self) -> None:
        """However it ended: what has come is metered by the supervisor."""
        if self._last is not None and self._last[2] != self.received():
            self._say(*self._last[:2])

    def _say(self, done: int, of: int) -> None:
        assert self._phase is not None
        self._last = (done, of, self.received())
        line: dict[str, JsonValue] = {"phase": self._phase.value, "bytes": done, "of": of}
        self._emit({"progress": {**line, "received": self._last[2]}})


def answer(data: bytes, emit: Emit, *, clock: Clock = time.time) -> dict[str, JsonValue]:
    """The last line for a request: its result or its error, whatever happened."""
    try:
        return fetch(FetchRequest.parse(data), emit, clock=clock)
    except LimosaError as error:
        return error_line(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        why = str(error)
        if error.errno in NO_SPACE:
            return error_line(DiskFull("the disk is full", where=str(error.filename or ""), why=why))
        return error_line(SystemRefused("the system refused", where=str(error.filename or ""), why=why))
    except Exception as error:  # noqa: BLE001  a process's main: the supervisor gets an answer
        return error_line(Internal("a fetch ended by a defect", why=f"{type(error).__name__}: {error}"[:300]))


def main() -> int:
    """0 if a result or a coded error was printed."""
    end_with_parent()
    out: BinaryIO = sys.stdout.buffer

    def emit(line: dict[str, JsonValue]) -> None:
        out.write(encode_canonical(line) + b"\n")
        out.flush()

    try:
        emit(answer(sys.stdin.buffer.read(LIMITS.document_max_bytes + 1), emit))
    except BrokenPipeError:
        os._exit(1)  # nobody listens any more; what has come stays for the next child
    return 0
