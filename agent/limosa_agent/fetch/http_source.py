"""GET over HTTP(S) with the limits of trust 3.4: the only place of fetch that opens a connection.

Identity encoding, no redirect to another host, no proxy from the environment, one connection per
request: a device fetches rarely, and nothing of one answer can then leak into the next.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from limosa_agent.fetch.agent_version import AGENT_VERSION
from limosa_agent.fetch.errors import ForeignRedirect, LengthMismatch, SourceRefused, TooSlow
from limosa_agent.fetch.limits import FetchLimits
from limosa_agent.fetch.rate_guard import RateGuard
from limosa_contracts.errors import InvalidField, LinkLost, Unreachable

CHUNK_BYTES: Final = 64 * 1024
REDIRECTS: Final = (301, 302, 303, 307, 308)


@dataclass(slots=True)
class Response:
    """The head of an answer, and its body piece by piece."""

    url: str
    status: int
    length: int | None  # bytes of the body as announced
    content_range: str
    content_type: str  # without parameters
    _body: http.client.HTTPResponse
    _guard: RateGuard

    def chunks(self) -> Iterator[bytes]:
        """Raises TooSlow, LinkLost. A body that ends early is noticed by who knows its length."""
        while True:
            try:
                chunk = self._body.read1(CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise broken(self.url, self._guard, error) from error
            if self._guard.reason:
                raise TooSlow("a download is too slow", where=self.url, why=self._guard.reason)
            if not chunk:
                return
            self._guard.count(len(chunk))
            yield chunk


class HttpSource:
    def __init__(self, limits: FetchLimits, *, ca_file: Path | None = None, token: str | None = None) -> None:
        self._limits = limits
        self._ca_file = ca_file
        self._token = token
        self._tls: ssl.SSLContext | None = None

    @contextmanager
    def open(self, url: str, *, budget_s: float, start: int = 0) -> Iterator[Response]:
        """The answer to a GET, from byte `start` on if that is not 0. The status is the caller's to judge.

        Raises Unreachable, LinkLost, TooSlow, ForeignRedirect, SourceRefused.
        """
        here = url
        for _ in range(self._limits.redirects_max + 1):
            with RateGuard(self._limits, budget_s=budget_s) as guard:
                connection = self._connect(here, guard)
                try:
                    response = self._send(connection, here, start, guard)
                    if response.status not in REDIRECTS:
                        yield response
                        return
                    here = _redirected(here, response._body.getheader("Location", ""))
                finally:
                    connection.close()
        raise SourceRefused("redirected too often", where=url)

    def read(self, url: str, *, max_bytes: int) -> bytes:
        """A small document. Raises as `open`, SourceRefused, LengthMismatch."""
        with self.open(url, budget_s=self._limits.metadata_budget_s) as response:
            if response.status != 200:
                raise SourceRefused(
                    "the server has no such document", where=url, why=f"HTTP {response.status}"
                )
            data = bytearray()
            for chunk in response.chunks():
                data += chunk
                if len(data) > max_bytes:
                    raise LengthMismatch("a document does not end", where=url, why=f"limit {max_bytes} bytes")
            if response.length not in (None, len(data)):
                raise LengthMismatch(
                    "a document was cut off", where=url, why=f"{len(data)} of {response.length}"
                )
            return bytes(data)

    def save(self, url: str, path: Path, *, max_bytes: int) -> None:
        """A document of at most `max_bytes` into a file that is synced. Raises as `read`, OSError."""
        with self.open(url, budget_s=self._limits.blob_budget_s) as response, path.open("wb") as file:
            if response.status != 200:
                raise SourceRefused(
                    "the server has no such document", where=url, why=f"HTTP {response.status}"
                )
            size = 0
            for chunk in response.chunks():
                size += len(chunk)
                if size > max_bytes:
                    raise LengthMismatch("a document does not end", where=url, why=f"limit {max_bytes} bytes")
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())

    def _connect(self, url: str, guard: RateGuard) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.hostname or ""
        connection = http.client.HTTPConnection(host, port, timeout=self._limits.idle_timeout_s)
        try:
            raw = socket.create_connection((host, port), timeout=self._limits.connect_timeout_s)
        except OSError as error:
            raise Unreachable("the server does not answer", where=_origin(parts), why=str(error)) from error
        connection.sock = raw
        guard.watch(raw)
        try:
            raw.settimeout(self._limits.idle_timeout_s)
            if parts.scheme == "https":
                secure = self._context().wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False)
                connection.sock = secure
                guard.watch(secure)
                secure.do_handshake()
        except OSError as error:
            connection.close()
            raise broken(url, guard, error) from error
        return connection

    def _send(
        self, connection: http.client.HTTPConnection, url: str, start: int, guard: RateGuard
    ) -> Response:
        parts = urlsplit(url)
        path = parts.path or "/"
        try:
            connection.request(
                "GET", f"{path}?{parts.query}" if parts.query else path, headers=self._headers(start)
            )
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise broken(url, guard, error) from error
        encoding = answer.getheader("Content-Encoding", "identity").strip().lower()
        if encoding != "identity":
            raise SourceRefused("the server encodes what must come as it is", where=url, why=encoding[:40])
        return Response(
            url=url,
            status=answer.status,
            length=answer.length,
            content_range=answer.getheader("Content-Range", ""),
            content_type=answer.getheader("Content-Type", "").partition(";")[0].strip().lower(),
            _body=answer,
            _guard=guard,
        )

    def _headers(self, start: int) -> Mapping[str, str]:
        headers = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "User-Agent": f"limosa-agent/{AGENT_VERSION}",
        }
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        if start:
            headers["Range"] = f"bytes={start}-"
        return headers

    def _context(self) -> ssl.SSLContext:
        """With a CA file, that CA alone is trusted."""
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)
        return self._tls


def check_server(url: str) -> str:
    """A server's base URL without a slash at the end. Plain HTTP only on loopback. Raises InvalidField."""
    parts = _split(url)
    host = parts.hostname or ""
    loopback = host in ("localhost", "::1") or host.startswith("127.")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or parts.username:
        raise InvalidField("this is not the address of a server", where="server", why=url[:200])
    if parts.scheme == "http" and not loopback:
        raise InvalidField(
            "a server is spoken to over HTTPS", where="server", why="plain HTTP is for loopback development"
        )
    return url.rstrip("/")


def broken(url: str, guard: RateGuard, error: Exception) -> TooSlow | LinkLost:
    if guard.reason:
        return TooSlow("a download is too slow", where=url, why=guard.reason)
    return LinkLost("a download broke off", where=url, why=f"{type(error).__name__}: {error}"[:200])


def _redirected(url: str, location: str) -> str:
    target = urljoin(url, location)
    if not location or _origin(_split(target)) != _origin(_split(url)):
        raise ForeignRedirect("a download is redirected to another host", where=url, why=location[:200])
    return target


def _origin(parts: SplitResult) -> str:
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is no port
    except ValueError as error:
        raise InvalidField("this is not an address", where="url", why=url[:200]) from error
    return parts
