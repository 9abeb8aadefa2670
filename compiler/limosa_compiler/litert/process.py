"""One worker of the toolchain: a process with limits, asked over pipes, ended as a group.

Models are foreign, and the libraries that read them are native code: what breaks, breaks there
(trust 7.2). What comes back is parsed as strictly as anything from outside.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

from limosa_compiler.arrays import Array, Arrays, encode_arrays, parse_arrays
from limosa_compiler.errors import ToolchainFailed
from limosa_compiler.litert.limits import LIMITS
from limosa_contracts.canonical import parse_object
from limosa_contracts.errors import LimosaError
from limosa_contracts.json_value import JsonObject, JsonValue

SCRIPTS: Final = Path(__file__).parent / "environment"
_CHUNK: Final = 1 << 20
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")


class Refused(Exception):
    """The worker answered that it cannot; the text says why. Callers turn it into an error of their own."""


class Gone(Exception):
    """The worker died, or did not answer in time; the text says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    head: JsonObject
    arrays: dict[str, Array]


class Worker:
    """Not for several threads at once."""

    def __init__(self, python: Path, *, model_bytes: int = 0) -> None:
        """`model_bytes`: size of the model it is going to hold, which decides about its memory."""
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `_end`
        memory = LIMITS.memory_bytes + LIMITS.memory_per_model_byte * model_bytes
        limits = (memory, LIMITS.cpu_s, LIMITS.file_bytes)
        try:
            self._process = subprocess.Popen(
                [str(python), "-s", "-B", str(SCRIPTS / "worker.py"), *(str(limit) for limit in limits)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=_environment(),
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            self._said.close()
            raise ToolchainFailed("its Python does not start", where=str(python), why=str(error)) from error
        self._end = weakref.finalize(self, _end, self._process, self._said)
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it and everything it started; more than once does no harm."""
        self._end()

    def ask(
        self,
        question: str,
        *,
        arrays: Arrays | None = None,
        timeout_s: float,
        fields: Mapping[str, JsonValue] | None = None,
    ) -> Answer:
        """Raises Refused, or Gone, after which nothing more can be asked."""
        payload = encode_arrays(arrays) if arrays else b""
        head = json.dumps({**(fields or {}), "ask": question, "payload_bytes": len(payload)})
        end = time.monotonic() + timeout_s
        try:
            self._write(head.encode() + b"\n" + payload, end)
            answer = self._read(end)
        except Gone as gone:
            why = self._last_words()
            self.close()
            raise Gone(f"{gone}: {why}" if why else str(gone)) from gone
        if answer.head.get("ok") is not True:
            raise Refused(str(answer.head.get("why", "it does not say why"))[:300])
        return answer

    def _write(self, data: bytes, end: float) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        os.set_blocking(stdin.fileno(), False)
        rest = memoryview(data)
        with selectors.DefaultSelector() as selector:
            selector.register(stdin, selectors.EVENT_WRITE)
            while rest:
                _wait(selector, end)
                try:
                    rest = rest[os.write(stdin.fileno(), rest[:_CHUNK]) :]
                except BrokenPipeError as error:
                    raise Gone(self._how()) from error

    def _read(self, end: float) -> Answer:
        while (at := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > LIMITS.head_max_bytes:
                raise Gone("its answer is not one")
            self._more(end)
        try:
            head = parse_object(
                bytes(self._buffer[:at]), what="the worker's answer", max_bytes=LIMITS.head_max_bytes
            )
            size = head.get("payload_bytes")
            if not isinstance(size, int) or not 0 <= size <= LIMITS.answer_max_bytes:
                raise Gone("its answer is too large")
            while len(self._buffer) < at + 1 + size:
                self._more(end)
            payload = bytes(self._buffer[at + 1 : at + 1 + size])
            del self._buffer[: at + 1 + size]
            return Answer(head=head, arrays=parse_arrays(payload) if size else {})
        except LimosaError as error:
            raise Gone(f"its answer is not one: {error}") from error

    def _more(self, end: float) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            _wait(selector, end)
        part = os.read(stdout.fileno(), _CHUNK)
        if not part:
            raise Gone(self._how())
        self._buffer += part

    def _how(self) -> str:
        """Without reaping it: its group's number is not free before `close` has used it."""
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        if ended is None or ended.si_code == os.CLD_EXITED:
            return f"it ended with exit code {ended.si_status if ended else '?'}"
        if ended.si_status in (signal.SIGKILL, signal.SIGXCPU):
            return f"it was ended: more than {LIMITS.cpu_s} s of CPU time, or out of memory"
        return f"it died of {signal.Signals(ended.si_status).name}"

    def _last_words(self) -> str:
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - 2000))
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else ""


def _wait(selector: selectors.BaseSelector, end: float) -> None:
    left = end - time.monotonic()
    if left <= 0 or not selector.select(left):
        raise Gone("it does not answer in time")


def _environment() -> dict[str, str]:
    """Nothing of ours but where things are; sets in the libraries are ordered by a fixed seed."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "HOME": "/nonexistent", "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}


def _end(process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    """Also what it started: the group is its own. Runs at the latest when the interpreter ends."""
    with suppress(ProcessLookupError):  # it ended, and everything it started too
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, said):
        if stream is not None:
            stream.close()
