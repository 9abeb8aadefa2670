"""Runs programs of the agent on a folder: recorded by strace, with a fault injected by it, or as they are."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final

from limosa_contracts.json_value import JsonObject
from tests.crash.disk_log import DiskLog, Image
from tests.crash.kept import KEPT, Promise, promises
from tests.crash.strace_calls import CHANGING, KEEPING, Call
from tests.crash.strace_log import read_log
from tests.support.programs import require_strace

WITH_DATABASE: Final = ("update", "desired")
REPOSITORY: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens instead of the n-th system call of a name."""

    call: str
    number: int
    what: str  # "SIGKILL", or the name of an error number

    @property
    def expression(self) -> str:
        how = "signal=SIGKILL" if self.what == "SIGKILL" else f"error={self.what}"
        return f"inject={self.call}:{how}:when={self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    code: int  # below 0: the signal that ended it
    marks: frozenset[str]
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    disk: DiskLog
    made: Sequence[Promise]
    calls: Sequence[Call]  # those that made the operations, in order
    run: Run


class Stage:
    """`tests.crash.stage` as a process."""

    def __init__(self, process: subprocess.Popen[str], scratch: Path) -> None:
        self._process = process
        self._scratch = scratch
        self._numbers = count(1)

    def run(self, program: str, args: JsonObject) -> Run:
        return self._run(program, args)

    def record(self, program: str, args: JsonObject, *, folder: Path, shim: bool | None = None) -> Recording:
        """Everything that the program does to `folder`, which it may change. Where the kernel forbids
        tracing the shim sees it; a database needs strace."""
        base = Image.read(folder)
        trace = self._scratch / f"{next(self._numbers)}.trace"
        if shim or (shim is None and program not in WITH_DATABASE and not may_trace()):
            run = self._run(program, args, shim=trace)
        else:
            traced = f"trace={','.join((*CHANGING, *KEEPING))}"
            run = self._run(program, args, trace=trace, expressions=(traced,))
        disk, calls = read_log(trace, folder=folder, marks=self._marks, base=base)
        trace.unlink()
        return Recording(disk=disk, made=promises(disk, folder), calls=calls, run=run)

    def inject(self, program: str, args: JsonObject, fault: Fault) -> tuple[Run, bool]:
        """And whether the program came so far that the fault was injected."""
        trace = self._scratch / "injected.strace"
        run = self._run(program, args, trace=trace, expressions=(f"trace={fault.call}", fault.expression))
        killed = fault.what == "SIGKILL" and run.code == -signal.SIGKILL
        return run, killed or "(INJECTED)" in trace.read_text()

    @property
    def _marks(self) -> Path:
        return self._scratch / "marks"

    def _run(
        self,
        program: str,
        args: JsonObject,
        *,
        shim: Path | None = None,
        trace: Path | None = None,
        expressions: Sequence[str] = (),
    ) -> Run:
        log = self._scratch / "log"
        for left in (self._marks, log):
            left.unlink(missing_ok=True)
        job = {"program": program, "args": args, "marks": str(self._marks), "log": str(log)}
        job["shim"] = str(shim or "")
        pid = int(self._ask(json.dumps(job)))
        tracer = _attach(pid, trace, expressions) if trace is not None else None
        code = int(self._ask("go"))
        if tracer is not None:
            tracer.wait(30)
            assert tracer.stderr is not None
            tracer.stderr.close()
        marks = self._marks.read_text().splitlines() if self._marks.exists() else []
        said = log.read_text(errors="replace") if log.exists() else ""
        told = frozenset(mark for mark in marks if not mark.startswith(KEPT))
        return Run(code=code, marks=told, log=said)

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the stage has ended with {self._process.wait()}"
        return answer


def _attach(pid: int, trace: Path, expressions: Sequence[str]) -> subprocess.Popen[str]:
    """strace, once it has the process. Strings are whole and hexadecimal, so that each can be read back."""
    strace = shutil.which("strace") if may_trace() else None
    command = [
        strace or require_strace(),
        "-f",
        "-xx",
        "-s",
        "100000000",
        "-e",
        "signal=none",
        "-o",
        str(trace),
    ]
    for expression in expressions:
        command += ["-e", expression]
    tracer = subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    assert "attached" in said, said + tracer.stderr.read()
    return tracer


@cache
def may_trace() -> bool:
    """Whether there is a strace, and the kernel lets it work."""
    strace = shutil.which("strace")
    if strace is None:
        return False
    tried = subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True, timeout=30, check=False)
    return tried.returncode == 0


@contextmanager
def stage(scratch: Path) -> Iterator[Stage]:
    scratch.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash.stage"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Stage(process, scratch)
        assert process.stdin is not None
        process.stdin.close()
