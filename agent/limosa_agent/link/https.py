"""The device's requests to the fleet server over HTTPS (trust 6.2): standard library only.

Blocking: the supervisor calls it in a thread. Identity encoding, no redirects, bounded answers.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

from limosa_agent.config import AgentConfig
from limosa_agent.errors import ServerRefused
from limosa_agent.fetch.proxy import Proxy, connect
from limosa_agent.identity.identity import Identity
from limosa_agent.identity.lock import reading
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import LimosaError, LinkLost, Unreachable
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.report_message import Ack, ReportMessage

if TYPE_CHECKING:
    from limosa_contracts.root_ca import RootsTold

TIMEOUT_S: Final = 20.0  # connecting, and between two reads
BUDGET_S: Final = 120.0  # one request in all: a byte now and then would never end it (trust 3.4)
TOKEN_MARGIN_S: Final = 60.0  # a token is renewed this long before it ends

ENVELOPE_MAX_CHARS: Final = LIMITS.mqtt_message_max_bytes
LAST_DOCUMENT: Final = "desired"  # in a refusal: what the director told a device that is taken out
HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]+")  # what the server gave and a header carries back


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


def tls_context(ca_files: Sequence[Path | None]) -> ssl.SSLContext:
    """Verifies the server's certificate and name. The first file takes the place of the system's store
    (150 certificates, 1 MB); where it is None the store is trusted, and the other files beside it."""
    context = ssl.create_default_context(cafile=ca_files[0] if ca_files else None)
    for path in ca_files[1:]:
        if path is not None:
            context.load_verify_locations(path)
    return context


def https_context(config: AgentConfig) -> ssl.SSLContext | None:
    """None for a loopback server without TLS, in development."""
    if not config.server.startswith("https"):
        return None
    return fleet_context(config.ca_file, config.identity_dir / "ca.pem")


def fleet_context(ca_file: Path | None, enrolled_ca: Path | None) -> ssl.SSLContext:
    """What the operator names, and what the fleet has told beside it: its root CA may be another by now."""
    if enrolled_ca is None:
        return tls_context([ca_file])
    with reading(enrolled_ca.parent):  # it is swapped with the identity
        return tls_context([ca_file, enrolled_ca if enrolled_ca.exists() else None])


def exchange(
    server: str,
    method: str,
    path: str,
    *,
    context: ssl.SSLContext | None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
    proxy: Proxy | None = None,
) -> Answer:
    """One request. Raises Unreachable, ProxyRefused if it was surely not sent, LinkLost if it may have
    been."""
    import http.client  # 1 MB that a supervisor whose MQTT works does not need

    parts = urlsplit(server)
    where = f"{method} {server}{path}"
    host, tls = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    connection = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    connection.sock = connect(host, port, proxy=proxy, timeout_s=timeout_s)
    try:
        connection.sock.settimeout(timeout_s)
        if tls:
            trusted = context or tls_context([])
            connection.sock = trusted.wrap_socket(
                connection.sock, server_hostname=host, do_handshake_on_connect=False
            )
        ending = _end_after(BUDGET_S, connection.sock)
        try:
            if isinstance(connection.sock, ssl.SSLSocket):
                connection.sock.do_handshake()
        except OSError as error:
            ending.cancel()
            raise _no_handshake(error, server=server, where=where) from error
        try:
            connection.request(
                method, parts.path + path, body, {"Accept-Encoding": "identity", **(headers or {})}
            )
            response = connection.getresponse()
            data = response.read(LIMITS.document_max_bytes + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise LinkLost("the connection to the fleet server broke", where=where, why=str(error)) from error
        finally:
            ending.cancel()
    finally:
        connection.close()
    if len(data) > LIMITS.document_max_bytes:
        raise ServerRefused("the server's answer is too long", where=where)
    names = {name.lower(): value for name, value in response.getheaders()}
    return Answer(status=response.status, headers=names, body=data)


def _end_after(seconds: float, connected: socket.socket) -> threading.Timer:
    """Started already; cancelling it is the caller's."""

    def end() -> None:
        with suppress(OSError):
            # Of the base class: an SSLSocket would drop its session under the reader's feet.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer


def _no_handshake(error: OSError, *, server: str, where: str) -> Unreachable:
    """A server that answers and is not believed is another thing to mend than one that is down."""
    from limosa_contracts.link_hints import link_hint

    if not isinstance(error, ssl.SSLCertVerificationError):
        hint = link_hint(server, str(error))
        return Unreachable("the fleet server does not answer", where=where, why=str(error), hint=hint)
    hint = (
        "the clock of this device, or of the server, is wrong: timedatectl"
        if "not yet valid" in str(error)
        else "name its CA, trust/ca.crt of the server, as ca_file in agent.toml; and the server by a name "
        "that its certificate has"
    )
    return Unreachable(
        "the fleet server shows a certificate that is not trusted here",
        where=where,
        why=str(error),
        hint=hint,
    )


def refused(answer: Answer, *, where: str) -> ServerRefused:
    """The server's problem document as an error, in its own words."""
    try:
        problem = Fields(parse_object(answer.body, what="problem"), where="problem")
        detail = problem.optional("detail", lambda n: problem.text(n, empty=True), "")
        title = problem.optional("title", lambda n: problem.text(n, empty=True), "")
        hint = problem.optional("hint", lambda n: problem.text(n, empty=True), "")
        code = problem.optional("code", lambda n: problem.text(n, empty=True), "")
        last = problem.optional("desired", lambda n: problem.text(n, max_chars=ENVELOPE_MAX_CHARS), "")
    except LimosaError:
        detail = title = hint = code = last = ""
    said = ": ".join(part for part in (code, detail or title) if part)
    return ServerRefused(
        f"the server answered {answer.status}",
        where=where,
        why=said[:1000],
        hint=hint,
        evidence={
            "status": answer.status,
            "code": code,
            **({LAST_DOCUMENT: last} if last else {}),
            **_patience(answer),
        },
    )


def _patience(answer: Answer) -> dict[str, JsonValue]:
    """How long a server that has too much to do asks to be left alone, in seconds (RFC 9110 10.2.3)."""
    said = answer.headers.get("retry-after", "")
    if answer.status not in (429, 503) or not (said.isascii() and said.isdigit()) or len(said) > 9:
        return {}
    return {"retry_after_s": int(said)}


class HttpsLink:
    """Token, desired state and reports. Thread-safe: the token is shared under a lock.

    The TLS context (1 MB where the system has many roots) is made when a request needs it, and kept
    until `rest`.
    """

    def __init__(
        self,
        *,
        server: str,
        identity: Identity,
        context: Callable[[], ssl.SSLContext | None],
        proxy: Proxy | None = None,
    ) -> None:
        self._server = server
        self._proxy = proxy
        self._make_context = context
        self._context: ssl.SSLContext | None = None
        self.adopt(identity)
        self._lock = threading.Lock()
        self._token = ""
        self._token_until = 0.0

    def adopt(self, identity: Identity) -> None:
        """The identity of requests from here on; its files are read now."""
        self._certificate = identity.certificate_pem
        self._identity = identity
        self._context = None  # it may trust another root CA

    def rest(self) -> None:
        """Nothing is asked for a while."""
        self._context = None

    def access_token(self) -> str:
        """Raises Unreachable, LinkLost, ServerRefused."""
        with self._lock:
            if time.monotonic() < self._token_until:
                return self._token
            from limosa_contracts.assertion import ASSERTION_TYPE, GRANT_TYPE, make_assertion

            path = "/api/v1/device/token"
            assertion = make_assertion(
                self._identity.key,
                self._certificate,
                device=self._identity.device,
                audience=self._identity.audience_base(self._server) + path,
                now=time.time(),
                jti=os.urandom(16).hex(),
            )
            form = {
                "grant_type": GRANT_TYPE,
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": assertion,
            }
            answer = self._exchange(
                "POST",
                path,
                body=urlencode(form).encode(),
                headers={"Content-Type": "application/x-www-form-urlencoded"},
            )
            if answer.status != 200:
                raise refused(answer, where=path)
            fields = Fields(parse_object(answer.body, what="token"), where="token")
            self._token = fields.text("access_token", max_chars=16384, pattern=HEADER_VALUE)
            lifetime = fields.number("expires_in", low=0, high=86400)
            self._token_until = time.monotonic() + max(1.0, lifetime - TOKEN_MARGIN_S)
            return self._token

    def desired(self, etag: str) -> tuple[bytes | None, str]:
        """(envelope, its ETag); None where it has not changed or there is none yet."""
        answer = self._with_token("GET", "/api/v1/device/desired", {"If-None-Match": etag} if etag else {})
        if answer.status in (304, 404):
            return None, etag
        if answer.status != 200:
            raise refused(answer, where="/api/v1/device/desired")
        tag = answer.headers.get("etag", "")
        return answer.body, tag if HEADER_VALUE.fullmatch(tag) else ""

    def reports(self, messages: Sequence[ReportMessage]) -> list[Ack]:
        body = encode_canonical({"messages": [message.as_json() for message in messages]})
        path = "/api/v1/device/reports"
        answer = self._with_token("POST", path, {"Content-Type": "application/json"}, body)
        if answer.status not in (200, 202):
            raise refused(answer, where=path)
        fields = Fields(parse_object(answer.body, what="acks"), where="acks")
        acks = []
        for place, item in fields.items("acks", max_items=1024):
            entry = Fields(item, where=place)
            acks.append(Ack(session=entry.integer("session", low=0), seq=entry.integer("seq", low=0)))
        return acks

    def roots(self, has: Sequence[str]) -> RootsTold:
        """The root CAs to trust, for those that this device says it has (trust 1.2)."""
        from limosa_contracts.root_ca import RootsHeld, RootsTold

        path, body = "/api/v1/device/roots", RootsHeld(has=tuple(has)).encode()
        answer = self._with_token("POST", path, {"Content-Type": "application/json"}, body)
        if answer.status != 200:
            raise refused(answer, where=path)
        return RootsTold.parse(answer.body)

    def renew(self, csr_pem: str) -> tuple[str, str]:
        """(certificate, CA) for the key of the request; this device's token proves the old key."""
        path = "/api/v1/device/renew"
        body = encode_canonical({"csr": csr_pem})
        answer = self._with_token("POST", path, {"Content-Type": "application/json"}, body)
        if answer.status not in (200, 201):
            raise refused(answer, where=path)
        fields = Fields(parse_object(answer.body, what="renewal"), where="renewal")
        return fields.text("certificate", max_chars=32768), fields.text("ca", max_chars=32768)

    def _with_token(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        for attempt in (1, 2):
            answer = self._exchange(
                method,
                path,
                body=body,
                headers={**headers, "Authorization": f"Bearer {self.access_token()}"},
            )
            if answer.status != 401 or attempt == 2:
                break
            with self._lock:  # the server forgot the token: once more with a new one
                self._token_until = 0.0
        return answer

    def _exchange(self, method: str, path: str, *, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        context = self._context or self._make_context()
        self._context = context
        return exchange(
            self._server, method, path, context=context, body=body, headers=headers, proxy=self._proxy
        )
