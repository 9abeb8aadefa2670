"""The local control socket: one JSON line asks, one answers (agent 6.3). Only this user may connect."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from limosa_agent.errors import AgentNotRunning
from limosa_agent.listening import open_unix
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import Internal, LimosaError, NotFound, SystemRefused, known_errors
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue

log = logging.getLogger(__name__)

LINE_MAX_BYTES: Final = 1024 * 1024
ASK_TIMEOUT_S: Final = 10.0

Handler = Callable[[JsonObject], Awaitable[dict[str, JsonValue]]]


async def serve_control(path: Path, handlers: Mapping[str, Handler]) -> asyncio.Server:
    """`handlers`: op -> coroutine function of the request."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ValueError):  # who asked has gone, or sent no line
            while line := await reader.readline():
                writer.write(encode_canonical(await _answer(line, handlers)) + b"\n")
                await writer.drain()
        writer.close()

    return await asyncio.start_unix_server(connected, sock=open_unix(path, mode=0o600), limit=LINE_MAX_BYTES)


async def try_control(path: Path, handlers: Mapping[str, Handler]) -> asyncio.Server | None:
    """None where it cannot be had: its path is too long, or the disk is full. Serving needs none."""
    try:
        return await serve_control(path, handlers)
    except OSError as error:
        log.error("there is no control socket %s: %s", path, error)
        return None


def end_control(server: asyncio.Server | None, path: Path) -> None:
    if server is not None:
        server.close()
        with suppress(OSError):  # the disk may be read-only by now
            path.unlink(missing_ok=True)


async def _answer(line: bytes, handlers: Mapping[str, Handler]) -> dict[str, JsonValue]:
    try:
        request = parse_object(line, what="request", max_bytes=LINE_MAX_BYTES)
        op = Fields(request, where="request").text("op", max_chars=64)
        handler = handlers.get(op)
        if handler is None:
            raise NotFound(f"the agent does not know {op!r}", where="request.op", why=", ".join(handlers))
        return {"result": await handler(request)}
    except LimosaError as error:
        return {"error": error.as_json()}
    except (OSError, sqlite3.Error) as error:  # the disk, mostly
        log.warning("an operation of the control socket failed: %s", error)
        return {"error": SystemRefused("the agent could not do this now", why=str(error)).as_json()}


def ask_agent(
    path: Path, op: str, request: JsonObject | None = None, *, timeout_s: float = ASK_TIMEOUT_S
) -> JsonObject:
    """The running agent's answer. Raises AgentNotRunning, and what the agent raised for the request."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(timeout_s)
            client.connect(str(path))
            client.sendall(encode_canonical({**(request or {}), "op": op}) + b"\n")
            with client.makefile("rb") as stream:
                line = stream.readline(LINE_MAX_BYTES)
    except PermissionError as error:
        raise AgentNotRunning(
            "only the agent's user may ask it", where=str(path), why=str(error), hint="the same with sudo"
        ) from error
    except OSError as error:
        raise AgentNotRunning("the agent does not answer", where=str(path), why=str(error)) from error
    if not line:
        raise AgentNotRunning("the agent closed the control socket", where=str(path))
    answer = Fields(json.loads(line), where="answer")
    if answer.has("error"):
        raise _raised(answer.fields("error"))
    return answer.object("result")


def _raised(error: Fields) -> LimosaError:
    def text(name: str) -> str:
        return error.optional(name, lambda n: error.text(n, max_chars=8192, empty=True), "")

    kind = known_errors().get(text("code"), Internal)
    return kind(text("what"), where=text("where"), why=text("why"), hint=text("hint"))
