"""A real HTTP server for files, with Range, whose answers a test can bend: slow, endless, torn, lying."""

from __future__ import annotations

import re
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_RANGE = re.compile(r"bytes=(\d+)-")


@dataclass(slots=True)
class Asked:
    path: str
    start: int | None  # of the Range, if there was one
    authorization: str
    accept_encoding: str


@dataclass(slots=True)
class HostileServer:
    """`files` by path; `tricks` by a part of the path, each instead of the honest answer."""

    files: dict[str, bytes] = field(default_factory=dict)
    tricks: dict[str, Trick] = field(default_factory=dict)
    media_types: dict[str, str] = field(default_factory=dict)  # by path, of what is in `files`
    asked: list[Asked] = field(default_factory=list)
    sent: int = 0  # bytes of bodies
    url: str = ""
    done: threading.Event = field(default_factory=threading.Event)

    def asked_for(self, part: str) -> list[Asked]:
        return [asked for asked in self.asked if part in asked.path]


@dataclass(slots=True)
class Answering:
    """One request being answered."""

    server: HostileServer
    handler: BaseHTTPRequestHandler
    data: bytes
    start: int | None

    def head(self, status: int, *headers: tuple[str, str]) -> None:
        self.handler.send_response(status)
        for name, value in headers:
            self.handler.send_header(name, value)
        self.handler.end_headers()

    def body(self, data: bytes) -> None:
        self.handler.wfile.write(data)
        self.server.sent += len(data)

    @property
    def media_type(self) -> tuple[str, str]:
        found = self.server.media_types.get(self.handler.path, "application/octet-stream")
        return "Content-Type", found

    def honest(self, data: bytes | None = None) -> None:
        data = self.data if data is None else data
        if self.start is None:
            self.head(200, ("Content-Length", str(len(data))), self.media_type)
            self.body(data)
        elif self.start >= len(data):
            self.head(416, ("Content-Length", "0"))
        else:
            self.head(
                206,
                self.media_type,
                ("Content-Length", str(len(data) - self.start)),
                ("Content-Range", f"bytes {self.start}-{len(data) - 1}/{len(data)}"),
            )
            self.body(data[self.start :])


Trick = Callable[[Answering], None]


@contextmanager
def hostile_server(*, tls: tuple[Path, Path] | None = None) -> Iterator[HostileServer]:
    """Listens on a free loopback port until the end of the block; `tls` is a certificate and its key."""
    state = HostileServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = _RANGE.fullmatch(self.headers.get("Range", ""))
            start = int(found[1]) if found else None
            state.asked.append(
                Asked(
                    self.path,
                    start,
                    self.headers.get("Authorization", ""),
                    self.headers.get("Accept-Encoding", ""),
                )
            )
            trick = next((trick for part, trick in list(state.tricks.items()) if part in self.path), None)
            data = state.files.get(self.path)
            answering = Answering(state, self, data or b"", start)
            self.close_connection = True
            try:
                if trick is not None:
                    trick(answering)
                elif data is None:
                    answering.head(404, ("Content-Length", "0"))
                else:
                    answering.honest()
            except OSError:
                return  # the client has seen enough

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            return

    server: socketserver.TCPServer = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        state.done.set()
        server.shutdown()
        thread.join()
        server.server_close()


def bit_flipped(answering: Answering) -> None:
    data = bytearray(answering.data)
    data[len(data) // 2] ^= 0x10
    answering.honest(bytes(data))


def endless(answering: Answering) -> None:
    """No length, no end."""
    answering.head(200, ("Connection", "close"))
    while not answering.server.done.is_set():
        answering.body(b"x" * 65536)


def dripping(answering: Answering) -> None:
    """Two bytes at a time, ten times a second: no single read ever times out."""
    answering.head(200, ("Content-Length", str(len(answering.data))))
    for i in range(0, len(answering.data), 2):
        if answering.server.done.wait(0.1):
            return
        answering.body(answering.data[i : i + 2])
        answering.handler.wfile.flush()


def dripping_headers(answering: Answering) -> None:
    answering.handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not answering.server.done.wait(0.05):
        answering.handler.wfile.write(b"X-Slow: 1\r\n"[:3])
        answering.handler.wfile.flush()


def silent(answering: Answering) -> None:
    answering.server.done.wait(30)


def cut_off_at(size: int) -> Trick:
    """Announces everything, sends `size` bytes of it."""

    def trick(answering: Answering) -> None:
        start = answering.start or 0
        rest = answering.data[start:]
        headers = [("Content-Length", str(len(rest))), answering.media_type]
        if answering.start is not None:
            last = len(answering.data) - 1
            headers.append(("Content-Range", f"bytes {start}-{last}/{len(answering.data)}"))
        answering.head(200 if answering.start is None else 206, *headers)
        answering.body(rest[:size])

    return trick


def whole_again(answering: Answering) -> None:
    """Does not know Range."""
    answering.start = None
    answering.honest()


def other_range(answering: Answering) -> None:
    """Answers a Range request with bytes from elsewhere, labelled as such."""
    if answering.start is None:
        answering.honest()
        return
    size = len(answering.data)
    answering.head(206, ("Content-Length", str(size - 1)), ("Content-Range", f"bytes 1-{size - 1}/{size}"))
    answering.body(answering.data[1:])


def redirect_to(url: str) -> Trick:
    def trick(answering: Answering) -> None:
        answering.head(302, ("Location", url), ("Content-Length", "0"))

    return trick


def status(code: int) -> Trick:
    def trick(answering: Answering) -> None:
        answering.head(code, ("Content-Length", "0"))

    return trick


def gzipped(answering: Answering) -> None:
    answering.head(200, ("Content-Encoding", "gzip"), ("Content-Length", str(len(answering.data))))
    answering.body(answering.data)
