"""Asks a service on this machine over HTTP and takes the status for an answer (agent 4.2).

No name is looked up, no redirect followed, no more than the status line read: the supervisor stays small.
"""

from __future__ import annotations

import asyncio
from typing import Final

from limosa_agent.health.probe_config import AskHttp

LINE_MAX_BYTES: Final = 4096
OK: Final = range(200, 300)


async def ask_http(question: AskHttp, *, timeout_s: float) -> tuple[bool, str]:
    """(whether it answered 2xx in time, what came instead). Never raises for a bad answer."""
    try:
        async with asyncio.timeout(timeout_s):
            status = await _status(question)
    except TimeoutError:
        return False, f"no answer within {timeout_s:g} s"
    except OSError as error:
        return False, f"no connection: {error.strerror or error}"
    except ValueError:  # a line without end, or longer than the limit
        return False, "the answer is not HTTP/1"
    return status in OK, "" if status in OK else f"HTTP status {status}"


async def _status(question: AskHttp) -> int:
    if question.socket:
        reader, writer = await asyncio.open_unix_connection(question.socket, limit=LINE_MAX_BYTES)
    else:
        reader, writer = await asyncio.open_connection(question.host, question.port, limit=LINE_MAX_BYTES)
    try:
        host = f"[{question.host}]" if ":" in question.host else question.host or "localhost"
        writer.write(
            f"GET {question.path} HTTP/1.1\r\nHost: {host}:{question.port}\r\n"
            "User-Agent: limosa-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode("ascii")
        )
        return status_of(await reader.readline())
    finally:
        writer.close()


def status_of(line: bytes) -> int:
    """The status of `HTTP/1.1 200 OK`. Raises ValueError.

    >>> status_of(b"HTTP/1.1 204 No Content\\r\\n")
    204
    """
    version, _, rest = line.partition(b" ")
    digits = rest[:3]
    if version not in (b"HTTP/1.0", b"HTTP/1.1") or not digits.isdigit() or len(digits) != 3:
        raise ValueError(line)
    return int(digits)
