"""HTTP as values: what a request says, what an answer is. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, TypeAlias

from limosa_contracts.errors import LimosaError
from limosa_contracts.json_value import JsonValue

INFERENCE_HEADER_NAME: Final = "Inference-Header-Content-Length"
INFERENCE_HEADER: Final = INFERENCE_HEADER_NAME.lower().encode()
JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"
PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Of Prometheus' text format."""


@dataclass(slots=True)
class Request:
    """One request, in full. `keep_alive`: what the client asked for."""

    method: bytes
    target: bytes
    headers: Mapping[bytes, bytes]  # names in lower case; of a repeated one the last holds
    body: bytes | memoryview
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Stands in the queue for a request that was not read to its end; nothing is read after it."""

    error: LimosaError


@dataclass(slots=True)  # made for every request: freezing would cost as much as encoding it
class Reply:
    status: int
    body: Sequence[bytes] = ()
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = JSON


class Pending:
    """An answer that comes later. Made, waited for and resolved on one loop."""

    __slots__ = ("_outcome", "_then")

    def __init__(self) -> None:
        self._outcome: Reply | Exception | None = None
        self._then: Callable[[Reply | Exception], None] | None = None

    def then(self, callback: Callable[[Reply | Exception], None]) -> None:
        """Called once, at once if the answer is there."""
        if self._outcome is not None:
            callback(self._outcome)
        else:
            self._then = callback

    def settle(self, make: Callable[[], Reply]) -> None:
        """Resolves with what `make` gives, or with what it raises."""
        outcome: Reply | Exception
        try:
            outcome = make()
        except Exception as error:  # noqa: BLE001  # told to whoever waits, as a future does
            outcome = error
        self.resolve(outcome)

    def resolve(self, outcome: Reply | Exception) -> None:
        self._outcome = outcome
        if self._then is not None:
            self._then(outcome)


Answer: TypeAlias = Reply | Pending
Incoming: TypeAlias = Request | Refusal
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_CONTENT_TYPES: Final = {name: name.encode() for name in (JSON, BINARY, PLAIN)}


def json_reply(value: JsonValue, *, status: int = 200) -> Reply:
    return Reply(status, (json.dumps(value, separators=(",", ":")).encode(),))


def error_reply(error: LimosaError, *, retry_after_s: int) -> Reply:
    """`error` is the text that clients of the protocol show; the rest says where, why and a way out."""
    headers: tuple[tuple[str, str], ...] = ()
    if error.http_status in (429, 503):
        headers = (("Retry-After", str(retry_after_s)),)
    elif error.http_status == 405:
        headers = (("Allow", str(error.evidence.get("allow", "GET"))),)
    body = json.dumps({"error": str(error), **error.as_json()}, separators=(",", ":"))
    return Reply(error.http_status, (body.encode(),), headers)


def encode_reply(reply: Reply, *, close: bool) -> bytes:
    body = reply.body
    size = len(body[0]) if len(body) == 1 else sum(map(len, body))
    head = b"%bContent-Type: %b\r\nContent-Length: %d\r\n" % (
        _STATUS_LINES[reply.status],
        _CONTENT_TYPES[reply.content_type],
        size,
    )
    for name, value in reply.headers:
        head += f"{name}: {value}\r\n".encode()
    return b"".join((head, b"Connection: close\r\n\r\n" if close else b"\r\n", *body))


@dataclass(slots=True)
class Draft:
    """A request that is being read."""

    began: float
    target: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    header_bytes: int = 0
    body: list[bytes] = field(default_factory=list)
    body_bytes: int = 0
    headers_done: bool = False
