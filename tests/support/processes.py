"""Real processes, started with a log file each and ended by their own pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.waiting import PATIENCE, wait_until

BIN = Path(sys.executable).parent


def script(name: str) -> str:
    """The path of a script of the environment the tests run in, for example `limosa-agent`."""
    return str(BIN / name)


@dataclass(slots=True)
class Started:
    name: str
    popen: subprocess.Popen[bytes]
    log_path: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_for_log(self, text: str, *, timeout_s: float = 20) -> None:
        """Waits until the process has printed `text`; fails at once if it ends without."""

        def said() -> bool:
            if text in self.log():
                return True
            assert self.running, f"{self.name} ended with {self.popen.returncode}:\n{self._tail()}"
            return False

        wait_until(said, timeout_s=timeout_s, what=lambda: f"{text!r} from {self.name}:\n{self._tail()}")

    def wait(self, *, timeout_s: float = 30) -> int:
        """The exit code, when it has ended by itself."""
        try:
            return self.popen.wait(timeout_s * PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{self.name} still runs after {timeout_s:g} s:\n{self._tail()}") from error

    def kill(self) -> None:
        """SIGKILL: a loss of power, as far as the process can tell."""
        if self.running:
            self.popen.send_signal(signal.SIGKILL)
        self.popen.wait(30)

    def stop(self, *, timeout_s: float = 15) -> int:
        """SIGTERM and its exit code; SIGKILL if it does not obey in time."""
        if self.running:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(timeout_s * PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.name} did not end on SIGTERM:\n{self._tail()}") from None
        return self.popen.wait(1)

    def _tail(self) -> str:
        return "\n".join(self.log().splitlines()[-30:])


@dataclass(slots=True)
class Processes:
    """Everything one test started; `end_all` leaves nothing behind, whatever happened."""

    folder: Path
    started: list[Started] = field(default_factory=list)

    def start(
        self, command: Sequence[str | Path], *, name: str, env: Mapping[str, str] | None = None,
        cwd: Path | None = None, pass_fds: Sequence[int] = (),
    ) -> Started:  # fmt: skip
        """Starts it in a session of its own; stdout and stderr go to one log file."""
        log_path = self.folder / f"{name}.{len(self.started)}.log"
        with log_path.open("wb") as log:
            popen = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                cwd=cwd or self.folder,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        process = Started(name=name, popen=popen, log_path=log_path)
        self.started.append(process)
        return process

    def end_all(self) -> None:
        """Asks each to end, the last started first, then kills what is left of their sessions."""
        for process in reversed(self.started):
            if process.running:
                process.popen.terminate()
        for process in reversed(self.started):
            try:
                process.popen.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            _kill_session(process.pid)


def _kill_session(session: int) -> None:
    """Children that outlived the process which led their session."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        if int(fields[3]) == session and fields[0] != "Z":
            try:
                os.kill(int(entry.name), signal.SIGKILL)
            except ProcessLookupError:
                continue  # as above
