"""One connection: HTTP/1.1 on httptools, answers in order, limits kept, a drain nobody notices.

The parser's callbacks only gather; `_pump` starts one request after the other, so that pipelined
requests are answered in their order. A request that is refused before it has come in full is
answered in its turn, and is the last of its connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

import httptools

from limosa_agent.serving.errors import (
    BadHttp,
    BodyTooLarge,
    EncodingRefused,
    HeadersTooLarge,
    Overloaded,
    RequestTooSlow,
    TooManyConnections,
)
from limosa_agent.serving.http_messages import (
    Answer,
    Draft,
    Incoming,
    Refusal,
    Reply,
    Request,
    encode_reply,
    error_reply,
)
from limosa_agent.serving.known_heads import KnownHead, KnownHeads
from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.shared_counters import SharedCounters
from limosa_contracts.errors import Internal, LimosaError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Traffic:
    """What all connections of a worker share."""

    limits: ServingLimits
    answer: Callable[[Request], Answer]
    counters: SharedCounters
    on_idle: Callable[[], None]  # called when draining and no connection is left
    draining: bool = False
    held_bytes: int = 0  # bodies of all requests that wait or are answered
    closing: bool = False  # idle connections are closed too
    connections: set[HttpConnection] = field(default_factory=set)
    heads: KnownHeads = field(default_factory=KnownHeads)

    def tick(self, now: float) -> None:
        """Ends connections that are over time."""
        for connection in tuple(self.connections):
            connection.tick(now)

    def close_idle(self) -> None:
        """From now on a connection without a request in flight is closed."""
        self.closing = True
        for connection in tuple(self.connections):
            connection.close_if_idle()


class HttpConnection(asyncio.Protocol):
    def __init__(self, traffic: Traffic, clock: Callable[[], float]) -> None:
        self._traffic: Final = traffic
        self._limits: Final = traffic.limits
        self._clock: Final = clock
        self._parser: Final = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._draft: Draft | None = None
        self._waiting: Final[deque[Incoming]] = deque()
        self._answering = False
        self._begun = 0  # requests begun and not answered: what a crash would take
        self._held = 0  # bytes of bodies
        self._read_no_more = False
        self._closed_at: float | None = None  # our side is closed; what still comes is dropped
        self._quiet_since = 0.0
        self._reading = True
        self._writable = True
        self._client_done = False
        self._fresh = b""  # what is being parsed, if it came between two messages

    # -- the transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class does not derive from it
        self._quiet_since = self._clock()
        full = len(self._traffic.connections) >= self._limits.connections_max
        self._traffic.connections.add(self)
        self._traffic.counters.connections = len(self._traffic.connections)
        if full:
            self._refuse(TooManyConnections("too many connections are open", hint="try again shortly"))

    def data_received(self, data: bytes) -> None:
        if self._read_no_more:
            return
        draft = self._draft
        if draft is None:
            head = self._traffic.heads.find(data)
            if head is not None:
                self._take(data, head)
                return
            self._fresh = data
        elif not draft.headers_done:
            draft.header_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._read_no_more = True  # the request itself was taken; no other protocol is spoken here
        except httptools.HttpParserError as error:
            self._refuse(BadHttp("this is not a valid HTTP/1.1 request", why=str(error)[:200]))
        draft = self._draft
        limit = self._limits.header_max_bytes
        # What one read brings at most is on top of this; complete headers are measured exactly.
        if draft is not None and not draft.headers_done and draft.header_bytes > limit:
            self._refuse_headers()
        self._fresh = b""
        self._pump()

    def _take(self, data: bytes, head: KnownHead) -> None:
        """One whole request with a known head: nothing is left for the parser."""
        if self._hold(len(data) - head.begin):
            self._count(1)
            body = memoryview(data)[head.begin :]
            request = Request(head.method, head.target, head.headers, body, keep_alive=True)
            if not self._answering and not self._waiting and self._writable and self._transport is not None:
                self._answering = True
                self._answer(request)
                return
            self._waiting.append(request)
        self._pump()

    def eof_received(self) -> bool:
        self._client_done = True
        self._read_no_more = True
        if self._draft is not None:
            self._forget_draft()
        return self._begun > 0  # then it still waits for answers

    def connection_lost(self, exc: Exception | None) -> None:
        self._traffic.counters.add_in_flight(-self._begun)
        self._begun = 0
        self._waiting.clear()
        self._release()
        self._traffic.connections.discard(self)
        self._traffic.counters.connections = len(self._traffic.connections)
        self._transport = None
        if self._traffic.draining and not self._traffic.connections:
            self._traffic.on_idle()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._pump()

    # -- the parser's callbacks

    def on_message_begin(self) -> None:
        if self._read_no_more:
            return
        self._draft = Draft(began=self._clock())
        self._count(1)

    def on_url(self, url: bytes) -> None:
        if self._draft is not None:
            self._draft.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._draft is not None:
            self._draft.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        draft = self._draft
        if draft is None:
            return
        draft.headers_done = True
        limit = self._limits.body_max_bytes
        length = draft.headers.get(b"content-length", b"0")
        if sum(len(n) + len(v) + 4 for n, v in draft.headers.items()) + len(draft.target) > (
            self._limits.header_max_bytes
        ):
            self._refuse_headers()
        elif not length.isdigit() or int(length[:20]) > limit:
            self._refuse(BodyTooLarge("the body is too large", why=f"at most {limit} bytes are accepted"))
        elif draft.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            self._refuse(EncodingRefused("compressed bodies are not accepted", where="Content-Encoding"))
        elif draft.headers.get(b"expect", b"").lower() == b"100-continue" and not self._waiting:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        draft = self._draft
        if draft is None:
            return
        draft.body_bytes += len(body)
        if draft.body_bytes > self._limits.body_max_bytes:
            limit = self._limits.body_max_bytes
            self._refuse(BodyTooLarge("the body is too large", why=f"at most {limit} bytes are accepted"))
            return
        if self._hold(len(body)):
            draft.body.append(body)

    def on_message_complete(self) -> None:
        draft, self._draft = self._draft, None
        if draft is None:
            return
        keep_alive = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        if not keep_alive:
            self._read_no_more = True
        body = draft.body[0] if len(draft.body) == 1 else b"".join(draft.body)
        request = Request(self._parser.get_method(), draft.target, draft.headers, body, keep_alive)
        self._waiting.append(request)
        if keep_alive and self._fresh:
            self._traffic.heads.learn(self._fresh, request)

    # -- answering

    def _pump(self) -> None:
        """Starts the next request, if none is being answered. One at a time: others get their turn."""
        if self._answering or not self._writable or self._transport is None or self._closed_at is not None:
            self._regulate()
            return
        if not self._waiting:
            self._regulate()
            return
        incoming = self._waiting.popleft()
        self._answering = True
        self._regulate()
        if isinstance(incoming, Refusal):
            self._finish(error_reply(incoming.error, retry_after_s=self._limits.retry_after_s), last=True)
            return
        self._answer(incoming)

    def _answer(self, request: Request) -> None:
        last = not request.keep_alive or request.method == b"HEAD"
        answer = self._start(request)
        if isinstance(answer, Reply):
            self._finish(answer, last=last)
        else:
            answer.then(lambda outcome: self._finish(self._replied(outcome), last=last))

    def _start(self, request: Request) -> Answer:
        try:
            return self._traffic.answer(request)
        except LimosaError as error:
            return error_reply(error, retry_after_s=self._limits.retry_after_s)
        except Exception as error:  # noqa: BLE001  # the edge of a request: recorded, and the others go on
            return self._bug(error)

    def _replied(self, outcome: Reply | Exception) -> Reply:
        if isinstance(outcome, Reply):
            return outcome
        if isinstance(outcome, LimosaError):
            return error_reply(outcome, retry_after_s=self._limits.retry_after_s)
        return self._bug(outcome)

    def _bug(self, error: BaseException) -> Reply:
        log.error("a request failed inside the server", exc_info=error)
        why = f"{type(error).__name__}: {error}"[:300]
        return error_reply(Internal("the request failed inside the server", why=why), retry_after_s=1)

    def _finish(self, reply: Reply, *, last: bool) -> None:
        self._answering = False
        if self._transport is None:
            return  # the client has gone; connection_lost has put the counters right
        more = bool(self._waiting) or self._draft is not None
        last = last or (self._traffic.draining and not more) or (self._client_done and not more)
        self._write(encode_reply(reply, close=last))
        self._count(-1)
        if not more:
            self._release()
        self._quiet_since = self._clock()
        if last:
            self._close()
        elif self._waiting:
            asyncio.get_running_loop().call_soon(self._pump)
        else:
            self._regulate()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    # -- refusing, closing, time

    def _refuse(self, error: LimosaError) -> None:
        """Answers `error` in its turn and reads nothing more."""
        if self._read_no_more:
            return
        self._read_no_more = True
        if self._draft is None:
            self._count(1)
        self._draft = None
        self._waiting.append(Refusal(error))
        asyncio.get_running_loop().call_soon(self._pump)

    def _refuse_headers(self) -> None:
        limit = self._limits.header_max_bytes
        self._refuse(HeadersTooLarge("the headers are too large", why=f"at most {limit} bytes are accepted"))

    def _forget_draft(self) -> None:
        self._draft = None
        self._count(-1)

    def _hold(self, size: int) -> bool:
        """False if that is too much: the request is refused then."""
        self._held += size
        self._traffic.held_bytes += size
        if self._traffic.held_bytes <= self._limits.held_max_bytes:
            return True
        self._refuse(Overloaded("too many large requests at once", hint="try again shortly"))
        return False

    def _release(self) -> None:
        self._traffic.held_bytes -= self._held
        self._held = 0

    def _count(self, change: int) -> None:
        self._begun += change
        self._traffic.counters.add_in_flight(change)

    def _regulate(self) -> None:
        """Reads on only while few requests wait and their answers are taken."""
        if self._transport is None or self._closed_at is not None:
            return
        wanted = len(self._waiting) < self._limits.pipeline_max and self._writable
        if wanted != self._reading:
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _close(self) -> None:
        """Half-closes, and drops what still comes for a moment: a reset would destroy the answer."""
        self._read_no_more = True
        self._closed_at = self._clock()
        self._count(-self._begun)
        self._waiting.clear()
        if self._transport is None:
            return
        if self._client_done or not self._transport.can_write_eof():
            self._transport.close()
            return
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        self._transport.write_eof()

    def close_if_idle(self) -> None:
        if not self._begun and self._closed_at is None and self._transport is not None:
            self._close()

    def tick(self, now: float) -> None:
        if self._transport is None:
            return
        if self._closed_at is not None:
            if now - self._closed_at > self._limits.linger_s:
                self._transport.abort()
        elif self._draft is not None:
            if now - self._draft.began > self._limits.request_read_s:
                self._refuse(RequestTooSlow("the request came too slowly"))
        elif not self._writable and now - self._quiet_since > self._limits.request_read_s:
            self._transport.abort()  # it sends requests and takes no answers: what it holds is for others
        elif not self._begun and (
            self._traffic.closing or now - self._quiet_since > self._limits.keepalive_idle_s
        ):
            self._close()
