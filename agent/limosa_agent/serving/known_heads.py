"""Heads of HTTP requests that came before: a client that keeps its connection sends the same one again. Pure.

Only what the real parser has taken in full is kept, under its exact bytes, so that both always agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from limosa_agent.serving.http_messages import Request

HEAD_MAX_BYTES: Final = 1024  # larger ones are parsed each time
KEPT_MAX: Final = 256  # heads; more: the store begins anew
END: Final = b"\r\n\r\n"
METHODS: Final = frozenset((b"GET", b"POST"))
OWN_WAYS: Final = (b"transfer-encoding", b"expect", b"upgrade")
"""Headers that say how the message ends, or what follows it: left to the parser."""
KEEPS: Final = b"keep-alive"


@dataclass(frozen=True, slots=True)
class KnownHead:
    method: bytes
    target: bytes
    headers: Mapping[bytes, bytes]
    begin: int  # of the body
    end: int  # of the message


class KnownHeads:
    """Of all connections of a worker."""

    def __init__(self) -> None:
        self._heads: Final[dict[bytes, KnownHead]] = {}

    def find(self, data: bytes) -> KnownHead | None:
        """If `data` is one whole request, and its head is known."""
        begin = data.find(END, 0, HEAD_MAX_BYTES) + len(END)
        head = self._heads.get(data[:begin])
        return head if head is not None and head.end == len(data) else None

    def learn(self, data: bytes, request: Request) -> None:
        """`data` was read between two messages, and is exactly `request`."""
        begin = data.find(END, 0, HEAD_MAX_BYTES) + len(END)
        if begin < len(END) or begin + len(request.body) != len(data):
            return
        if request.method not in METHODS or any(name in request.headers for name in OWN_WAYS):
            return
        if request.headers.get(b"connection", KEEPS).lower() != KEEPS:
            return
        if len(self._heads) >= KEPT_MAX:
            self._heads.clear()
        self._heads[data[:begin]] = KnownHead(
            request.method, request.target, request.headers, begin, len(data)
        )
