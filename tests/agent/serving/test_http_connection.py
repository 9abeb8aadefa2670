"""One connection, byte for byte: however it is cut, answers come in order; nothing is held at the end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limosa_agent.serving.http_messages import Answer, Pending, Reply, Request
from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.protocol import HttpConnection, Traffic
from limosa_agent.serving.shared_counters import SharedCounters
from tests.agent.serving.conftest import StartPool
from tests.agent.serving.http_client import Client, request


class Wire(asyncio.Transport):
    """The other end, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.sent += bytes(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return


@contextmanager
def counters() -> Iterator[SharedCounters]:
    fd = SharedCounters.create_fd()
    made = SharedCounters(fd)
    os.close(fd)
    yield made
    made.close()


def echo(asked: Request) -> Answer:
    """Bodies of odd length are answered later, as by a thread."""
    reply = Reply(200, (bytes(asked.body),))
    if len(asked.body) % 2:
        pending = Pending()
        asyncio.get_running_loop().call_soon(pending.resolve, reply)
        return pending
    return reply


async def talk(
    pieces: list[bytes], shared: SharedCounters, *, draining: bool = False
) -> tuple[bytes, Traffic]:
    traffic = Traffic(limits=ServingLimits(), answer=echo, counters=shared, on_idle=lambda: None)
    traffic.draining = draining
    connection, wire = HttpConnection(traffic, lambda: 0.0), Wire()
    connection.connection_made(wire)
    for piece in pieces:
        connection.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(200):
        await asyncio.sleep(0)
    sent = wire.sent
    connection.connection_lost(None)
    return sent, traffic


bodies = st.lists(st.binary(max_size=30), min_size=1, max_size=6)


@settings(deadline=None)
@given(bodies, st.lists(st.integers(1, 200), max_size=12))
def test_requests_cut_anywhere_are_answered_in_order(texts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(request("POST", "/", text) for text in texts)
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(stream[at : at + cut])
        at += cut
    pieces.append(stream[at:])
    with counters() as shared:
        sent, traffic = asyncio.run(talk(pieces, shared))
        assert shared.in_flight == 0
    got = [part.partition(b"\r\n\r\n")[2] for part in sent.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert got == texts
    assert traffic.held_bytes == 0


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([b"", b"a", b"bc", b"\r\n\r\n", b"defg"]), min_size=2, max_size=12),
    st.booleans(),
)
def test_same_heads_again_give_the_same_answers(texts: list[bytes], more: bool) -> None:
    """Whole requests, one read each, on several connections: after the first, no parser is asked."""
    pieces = [request("POST", "/", text, {"Connection": "keep-alive"} if more else {}) for text in texts]
    with counters() as shared:
        sent, traffic = asyncio.run(talk([*pieces, b"".join(pieces), *pieces], shared))
        assert shared.in_flight == 0
    got = [part.partition(b"\r\n\r\n")[2] for part in sent.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert got == texts * 3
    assert traffic.held_bytes == 0
    assert all(traffic.heads.find(piece) for piece in pieces)


NEVER_LEARNT = {
    "closes": request("POST", "/", b"ab", {"Connection": "close"}),
    "chunks": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "expects": request("POST", "/", b"ab", {"Expect": "100-continue"}),
    "HEAD": request("HEAD", "/"),
    "long": request("POST", "/", b"ab", {"X-Long": "y" * 2000}),
    "two at once": request("POST", "/", b"ab") * 2,
    "cut": request("POST", "/", b"ab")[:-1],
}


@pytest.mark.parametrize("name", NEVER_LEARNT)
def test_head_that_is_not_plain_is_parsed_each_time(name: str) -> None:
    with counters() as shared:
        _, traffic = asyncio.run(talk([NEVER_LEARNT[name]], shared))
    assert traffic.heads.find(NEVER_LEARNT[name]) is None


def test_known_head_before_a_body_of_another_length_is_parsed() -> None:
    whole = request("POST", "/", b"abcd")
    with counters() as shared:
        sent, traffic = asyncio.run(talk([whole, whole[:-2], b"cd", whole + whole[:-3], b"bcd"], shared))
    assert traffic.heads.find(whole)
    assert [part[-4:] for part in sent.split(b"HTTP/1.1 200 OK\r\n")[1:]] == [b"abcd"] * 4


@settings(deadline=None)
@given(bodies)
def test_draining_connection_answers_everything_it_has_and_closes_with_the_last(texts: list[bytes]) -> None:
    stream = b"".join(request("POST", "/", text) for text in texts)
    with counters() as shared:
        sent, _ = asyncio.run(talk([stream], shared, draining=True))
    answers = sent.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [b"Connection: close" in answer.partition(b"\r\n\r\n")[0] for answer in answers] == (
        [False] * (len(texts) - 1) + [True]
    )


pieces_of_http = st.sampled_from(
    [b"GET / HTTP/1.1\r\n", b"POST /x HTTP/1.1\r\n", b"Content-Length: 5\r\n", b"\r\n",
     b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"hello",
     b"Upgrade: h2c\r\nConnection: upgrade\r\n",
     b"Expect: 100-continue\r\n", b"Content-Length: 18446744073709551617\r\n", b": \r\n", b"\x00", b"\n"]
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(pieces_of_http | st.binary(max_size=20), max_size=15))
def test_any_bytes_leave_nothing_behind(pieces: list[bytes]) -> None:
    with counters() as shared:
        sent, traffic = asyncio.run(talk(pieces, shared))
        assert (shared.in_flight, shared.connections, traffic.held_bytes) == (0, 0, 0)
    assert sent == b"" or sent.startswith(b"HTTP/1.1 ")
    assert traffic.connections == set()


def test_answer_to_head_is_the_last_of_its_connection(start_pool: StartPool) -> None:
    """A client does not read a body after HEAD: it would take it for the answer that follows."""
    pool = start_pool()
    with Client(pool.port) as client:
        answer = client.ask("HEAD", "/v2")
        assert (answer.status, answer.closes) == (405, True)
        assert client.at_end()
