"""GET over HTTP(S) with the limits of trust 3.4: the only place of fetch that opens a connection.

Identity encoding, no redirect to another host, no proxy from the environment, one connection per
request: a device fetches rarely, and nothing of one answer can then leak into the next.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from limosa_agent.fetch.agent_version import AGENT_VERSION
from limosa_agent.fetch.errors import ForeignRedirect, SourceRefused, TooSlow
from limosa_agent.fetch.limits import FetchLimits
from limosa_agent.fetch.proxy import Proxy, connect
from limosa_agent.fetch.rate_guard import RateGuard
from limosa_agent.fetch.source import Response, Source
from limosa_agent.identity.lock import reading
from limosa_contracts.errors import InvalidField, LinkLost

CHUNK_BYTES: Final = 64 * 1024
REDIRECTS: Final = (301, 302, 303, 307, 308)


class HttpSource(Source):
    def __init__(
        self,
        limits: FetchLimits,
        *,
        ca_file: Path | None = None,
        enrolled_ca: Path | None = None,
        token: Callable[[], str] | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        super().__init__(limits)
        self._ca_file = ca_file
        self._enrolled_ca = enrolled_ca
        self._token = token
        self._proxy = proxy
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
                    answer = self._send(connection, here, start, guard)
                    if answer.status not in REDIRECTS:
                        yield _response(here, answer, guard)
                        return
                    here = _redirected(here, answer.getheader("Location", ""))
                finally:
                    connection.close()
        raise SourceRefused("redirected too often", where=url)

    def _connect(self, url: str, guard: RateGuard) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.hostname or ""
        connection = http.client.HTTPConnection(host, port, timeout=self._limits.idle_timeout_s)
        raw = connect(
            host, port, proxy=self._proxy, timeout_s=self._limits.connect_timeout_s, watch=guard.watch
        )
        connection.sock = raw
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
    ) -> http.client.HTTPResponse:
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
        return answer

    def _headers(self, start: int) -> Mapping[str, str]:
        headers = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "User-Agent": f"limosa-agent/{AGENT_VERSION}",
        }
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token()}"
        if start:
            headers["Range"] = f"bytes={start}-"
        return headers

    def _context(self) -> ssl.SSLContext:
        """Trusts the CA file, or the system's store where there is none; and the CAs of the enrolment."""
        if self._tls is None:
            from limosa_agent.link.https import fleet_context  # which itself is made of parts of this folder

            if self._ca_file is None:
                self._tls = fleet_context(None, self._enrolled_ca)
            else:
                with reading(self._ca_file.parent):  # it may be the one of the enrolment
                    self._tls = fleet_context(self._ca_file, self._enrolled_ca)
        return self._tls


def _response(url: str, answer: http.client.HTTPResponse, guard: RateGuard) -> Response:
    return Response(
        url=url,
        status=answer.status,
        length=answer.length,
        content_range=answer.getheader("Content-Range", ""),
        content_type=answer.getheader("Content-Type", "").partition(";")[0].strip().lower(),
        body=lambda: _chunks(url, answer, guard),
    )


def _chunks(url: str, answer: http.client.HTTPResponse, guard: RateGuard) -> Iterator[bytes]:
    while True:
        try:
            chunk = answer.read1(CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise broken(url, guard, error) from error
        if guard.reason:
            raise TooSlow("a download is too slow", where=url, why=guard.reason)
        if not chunk:
            return
        guard.count(len(chunk))
        yield chunk


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
    try:
        target = urljoin(url, location)
        elsewhere = _origin(_split(target)) != _origin(_split(url))
    except (ValueError, InvalidField) as error:  # urljoin parses too
        why = location[:200]
        raise SourceRefused("a download is redirected to no address", where=url, why=why) from error
    if not location or elsewhere:
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
