"""The demo's processes: started with a log each, ended by process id, none left behind."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from limosa_contracts.errors import TimedOut
from limosa_contracts.json_value import JsonObject
from limosa_devices.demo.errors import ProcessFailed

STOP_TIMEOUT_S = 10.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def wait_until(holds: Callable[[], bool], *, timeout_s: float, what: str, every_s: float = 0.1) -> None:
    """Raises TimedOut."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimedOut(f"{what} did not happen", why=f"waited {timeout_s:.0f} s")
        time.sleep(every_s)


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(slots=True)
class Process:
    """One child. Its output goes to `log`."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self.popen.kill()
        self.popen.wait()

    def stop(self) -> None:
        if self.alive:
            self.popen.terminate()
        try:
            self.popen.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def ready(self, *, timeout_s: float) -> JsonObject:
        """The JSON object of the line with which the process says that it is up."""

        def answered() -> bool:
            if not self.alive:
                raise self.failed()
            return self._ready_line() is not None

        wait_until(answered, timeout_s=timeout_s, what=f"{self.name} becoming ready")
        line = self._ready_line()
        return line if line is not None else {}

    def _ready_line(self) -> JsonObject | None:
        for line in self.log.read_bytes().splitlines():
            if line.startswith(b"{") and b'"ready"' in line:
                value = json.loads(line)
                if isinstance(value, dict):
                    return value
        return None

    def failed(self) -> ProcessFailed:
        tail = self.log.read_text(errors="replace")[-2000:]
        return ProcessFailed(
            f"{self.name} ended with code {self.popen.returncode}", where=str(self.log), why=tail.strip()
        )


@dataclass(slots=True)
class Processes:
    """Everything that was started; `stop_all` ends it in reverse order."""

    folder: Path
    started: list[Process] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Process:
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{name}-{len(self.started)}.log"
        with log.open("wb") as sink:
            popen = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                preexec_fn=_die_with_parent,  # Linux, and no thread holds a lock here
            )
        process = Process(name=name, popen=popen, log=log)
        self.started.append(process)
        return process

    def run(
        self,
        name: str,
        command: Sequence[str],
        *,
        timeout_s: float = 120.0,
        env: Mapping[str, str] | None = None,
    ) -> bytes:
        """Standard output of a command that must succeed. Raises ProcessFailed."""
        try:
            done = subprocess.run(
                list(command),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                check=False,
                env={**os.environ, **(env or {})},
            )
        except subprocess.TimeoutExpired as error:
            raise TimedOut(f"{name} did not end", why=f"waited {timeout_s:.0f} s") from error
        if done.returncode != 0:
            why = (done.stderr + done.stdout).decode(errors="replace")[-2000:].strip()
            raise ProcessFailed(f"{name} ended with code {done.returncode}", where=" ".join(command), why=why)
        return done.stdout

    def stop_all(self) -> None:
        for process in reversed(self.started):
            process.stop()
