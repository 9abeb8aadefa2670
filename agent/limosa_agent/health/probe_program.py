"""Runs an operator's program and takes its exit code for an answer (agent 4.2).

No shell; the program and every folder above it can be changed by root and this user only, which is
looked at before each run; where the agent is root, the program runs as `nobody`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from limosa_agent.health.errors import ProbeUnsafe
from limosa_agent.health.probe_config import RunProgram

OUTPUT_MAX_BYTES: Final = 4096  # of stdout and stderr together; a program that says more goes on unheard
SAID_MAX_CHARS: Final = 200  # of it, in the evidence
ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
LAST_WORDS_S: Final = 0.2  # after its end, for what is still in the pipe
NOBODY: Final = 65534
_WRITABLE: Final = stat.S_IWGRP | stat.S_IWOTH


async def run_program(question: RunProgram, *, timeout_s: float) -> tuple[bool, str]:
    """(whether it exited with 0 in time, what it said otherwise). Never raises for a bad program."""
    heard = _Heard()
    try:
        path = safe_program(Path(question.words[0]))
        transport, _ = await asyncio.get_running_loop().subprocess_exec(
            lambda: heard,
            *(str(path), *question.words[1:]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,  # so that what it started ends with it
            **_least_rights(),
        )
    except ProbeUnsafe as error:
        return False, str(error)
    except OSError as error:
        return False, f"it cannot be started: {error.strerror}"
    try:
        async with asyncio.timeout(timeout_s):
            await heard.exited.wait()
    except TimeoutError:
        return False, f"no end within {timeout_s:g} s"
    finally:
        with suppress(ProcessLookupError, PermissionError):  # nothing of a probe stays behind
            os.killpg(transport.get_pid(), signal.SIGKILL)
        await heard.exited.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await heard.silent.wait()
        transport.close()
    code = transport.get_returncode() or 0
    return code == 0, "" if code == 0 else _said(code, heard.output)


class _Heard(asyncio.SubprocessProtocol):
    """The first of its output; what is above the limit is read and forgotten, so that it does not block."""

    def __init__(self) -> None:
        self.output = bytearray()
        self.exited = asyncio.Event()
        self.silent = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.output += data[: max(0, OUTPUT_MAX_BYTES - len(self.output))]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.silent.set()

    def process_exited(self) -> None:
        self.exited.set()


def safe_program(path: Path) -> Path:
    """Where it really lies, if nobody but root and this user can change it. Raises ProbeUnsafe."""
    try:
        real = path.resolve(strict=True)
        file = real.stat()
    except OSError as error:
        raise ProbeUnsafe(
            "a probe's program is not there", where=str(path), why=str(error.strerror)
        ) from error
    owners = (0, os.geteuid())
    if not stat.S_ISREG(file.st_mode) or file.st_mode & _WRITABLE or file.st_uid not in owners:
        raise ProbeUnsafe(
            "others can change a probe's program",
            where=str(real),
            why=f"owner {file.st_uid}, mode {stat.S_IMODE(file.st_mode):o}",
        )
    for folder in real.parents:
        facts = folder.stat()
        shared = facts.st_mode & _WRITABLE and not facts.st_mode & stat.S_ISVTX
        if shared or facts.st_uid not in owners:
            raise ProbeUnsafe(
                "others can put another program in its place",
                where=str(folder),
                why=f"owner {facts.st_uid}, mode {stat.S_IMODE(facts.st_mode):o}",
            )
    return real


def _least_rights() -> dict[str, Any]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": ()} if os.geteuid() == 0 else {}


def _said(code: int, output: bytearray) -> str:
    text = output.decode("utf-8", "replace").strip()
    clean = "".join(c if c.isprintable() else " " for c in text)[:SAID_MAX_CHARS]
    how = f"exit code {code}" if code >= 0 else f"ended by signal {-code}"
    return f"{how}: {clean}" if clean else how
