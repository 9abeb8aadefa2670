"""The fetch child as the supervisor sees it: one request in, lines out (agent 1).

TUF, downloads and verification are heavy and rare, so they never enter the supervisor's memory.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import LimosaError
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue

LINE_MAX_BYTES: Final = 1024 * 1024
GRACE_S: Final = 5.0  # between asking a child to end and ending it


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchFailed:
    """`kind`: trust, transfer, request or fault; `reason`: the code an event carries."""

    kind: str
    reason: str
    code: str
    message: str
    evidence: JsonObject


async def run_fetch(
    request: Mapping[str, JsonValue], on_progress: Callable[[JsonObject], None]
) -> JsonObject | FetchFailed:
    """The `result` object, or why there is none. Cancelling it ends the child."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # who can write where the agent was started from does not decide what it imports
        "-m",
        "limosa_agent.fetch",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_MAX_BYTES,
    )
    try:
        return await _converse(child, request, on_progress)
    finally:
        await _end(child)


async def _converse(
    child: asyncio.subprocess.Process,
    request: Mapping[str, JsonValue],
    on_progress: Callable[[JsonObject], None],
) -> JsonObject | FetchFailed:
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # a child that is gone says so by its silence
        child.stdin.write(encode_canonical(dict(request)) + b"\n")
        await child.stdin.drain()
        child.stdin.close()
    try:
        while line := await child.stdout.readline():
            fields = Fields(parse_object(line, what="fetch line", max_bytes=LINE_MAX_BYTES), where="fetch")
            if fields.has("result"):
                return fields.object("result")
            if fields.has("error"):
                return _failed(fields.fields("error"))
            if fields.has("progress"):
                on_progress(fields.object("progress"))
    except (LimosaError, ValueError) as error:
        return _broken(f"the fetch child said something unexpected: {error}")
    return _broken(f"the fetch child ended with {await child.wait()} and no result")


def _failed(error: Fields) -> FetchFailed:
    nothing: JsonObject = {}
    what = error.text("what", max_chars=8192, empty=True)
    why = error.optional("why", lambda n: error.text(n, max_chars=8192, empty=True), "")
    return FetchFailed(
        kind=error.choice("kind", ("trust", "transfer", "request", "fault")),
        reason=error.optional("reason", lambda n: error.text(n, max_chars=64), "") or "fetch_failed",
        code=error.text("code", max_chars=16),
        message=f"{what} ({why})" if why else what,
        evidence=error.optional("evidence", error.object, nothing),
    )


def _broken(message: str) -> FetchFailed:
    return FetchFailed(kind="fault", reason="fault", code="LM-102", message=message, evidence={})


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        with suppress(ProcessLookupError):  # it ended by itself just now
            child.terminate()
        try:
            await asyncio.wait_for(asyncio.shield(child.wait()), GRACE_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
