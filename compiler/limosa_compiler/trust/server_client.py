"""The fleet server as a publisher sees it: HTTPS with an API token, coded errors, bounded retries."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx

from limosa_compiler.trust.errors import RedirectRefused, ServerRefused, TokenUnusable
from limosa_contracts.canonical import encode_canonical, parse_json, parse_object
from limosa_contracts.enrolment import API_TOKEN
from limosa_contracts.errors import (
    InvalidField,
    LimosaError,
    LinkLost,
    NotAuthorised,
    TransferError,
    Unreachable,
    known_errors,
)
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.link_hints import link_hint
from limosa_contracts.names import ModelName

T = TypeVar("T")
_BUSY: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    connect_s: float = 10.0
    idle_s: float = 60.0  # between two pieces of an answer, or of what is sent
    tries: int = 5  # of one request whose link broke
    first_pause_s: float = 0.2  # doubles with each try
    releases_max: int = 64  # as many versions fit into may_return_to
    chunk_bytes: int = 4 * 1024 * 1024  # of a blob in one request
    answer_max_bytes: int = 16 * 1024 * 1024  # the longest is a page of releases
    answer_s: float = 300.0  # of one answer, however it drips


class Overtaken(Exception):
    """412: the role on the server is not the one this was made from."""


@dataclass(slots=True)
class FleetServer:
    """Use it in a `with` block."""

    url: str
    token: str = field(repr=False)
    ca: Path | None = None
    limits: ClientLimits = field(default_factory=ClientLimits)
    sleep: Callable[[float], None] = time.sleep
    _client: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.url = check_url(self.url)
        if not API_TOKEN.fullmatch(self.token):
            raise TokenUnusable(
                "this is no API token", where="--token", why="one looks like lmp_<id>.<secret>"
            )
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.token}", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(self.limits.idle_s, connect=self.limits.connect_s),
            verify=_tls(self.ca),
            follow_redirects=False,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def role(self, team: str, role: str) -> tuple[int, bytes]:
        """The server's current metadata of a team's role, and its version; 0 and nothing if it has none.

        The version is what the answer's ETag says; nobody has checked a signature.
        """
        answer = self.request("GET", f"/api/v1/teams/{team}/metadata/{role}", expected=(200, 404))
        if answer.status_code == 404:
            return 0, b""
        tag = answer.headers.get("ETag", "").strip('"')
        if not tag.isascii() or not tag.isdigit() or len(tag) > 15:
            raise ServerRefused("a role came without its version", where=role, why=f"ETag {tag[:40]!r}")
        return int(tag), answer.content

    def put_role(self, team: str, role: str, data: bytes, *, seen: int) -> None:
        """Replaces version `seen` of a role. Raises Overtaken where that is not the server's current one."""
        self.put_roles(team, {role: data}, seen=seen)

    def put_roles(self, team: str, files: Mapping[str, bytes], *, seen: int) -> None:
        """Replaces several roles at once, the highest version of which is `seen`. Raises Overtaken."""
        documents: dict[str, JsonValue] = {
            f"{role}.json": parse_object(data, what=role, max_bytes=LIMITS.tuf_metadata_max_bytes)
            for role, data in files.items()
        }
        answer = self.request(
            "PUT",
            f"/api/v1/teams/{team}/metadata",
            content=encode_canonical({"metadata": documents}),
            headers={"Content-Type": "application/json", "If-Match": f'"{seen}"'},
            expected=(200, 412),
        )
        if answer.status_code == 412:
            raise Overtaken

    def production_versions(self, model: ModelName) -> tuple[str, ...]:
        """Versions that a rollout has completed with: what a new release may go back to (trust 2.4)."""
        answer = self.request(
            "GET",
            "/api/v1/releases",
            params={"model": str(model), "stage": "production"},
        )
        page = Fields(parse_json(answer.content, what="releases"), where="releases")
        items = page.items("items", max_items=LIMITS.page_size_max)
        found = [Fields(item, where=place).text("version", max_chars=64) for place, item in items]
        return tuple(found[: self.limits.releases_max])

    def request(
        self,
        method: str,
        path: str,
        *,
        expected: tuple[int, ...] = (200,),
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request, tried again while the link breaks or the server is busy.

        Raises Unreachable, LinkLost, NotAuthorised, RedirectRefused, ServerRefused, or the error whose
        code the server names.
        """
        return self.retrying(
            lambda: self.once(
                method, path, expected=expected, content=content, headers=headers, params=params
            )
        )

    def once(
        self,
        method: str,
        path: str,
        *,
        expected: tuple[int, ...],
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Like request, without a second try."""
        try:
            with self._client.stream(
                method, path, content=content, headers=headers, params=params
            ) as streamed:
                answer = self._read(streamed)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(
                "the server does not answer",
                where=self.url,
                why=str(error),
                hint=link_hint(self.url, str(error)),
            ) from error
        except httpx.RequestError as error:
            raise LinkLost(
                "the link to the server broke", where=self.url, why=str(error) or type(error).__name__
            ) from error
        if answer.status_code in expected:
            return answer
        raise refusal(answer, where=f"{method} {path}")

    def _read(self, streamed: httpx.Response) -> httpx.Response:
        """The whole answer, as its bytes came: not endless, not unpacked. Raises ServerRefused, LinkLost."""
        deadline = time.monotonic() + self.limits.answer_s
        body = bytearray()
        for piece in streamed.iter_raw():
            body += piece
            if len(body) > self.limits.answer_max_bytes:
                raise ServerRefused(
                    "the server's answer does not end",
                    where=self.url,
                    why=f"at most {self.limits.answer_max_bytes} bytes are read",
                )
            if time.monotonic() > deadline:
                raise LinkLost("the server's answer is too slow", where=self.url)
        headers = httpx.Headers(streamed.headers)
        for name in ("Content-Encoding", "Transfer-Encoding", "Content-Length"):
            headers.pop(name, None)
        return httpx.Response(
            streamed.status_code, headers=headers, content=bytes(body), request=streamed.request
        )

    def retrying(self, attempt: Callable[[], T]) -> T:
        """`attempt()`, again after a TransferError, with doubling pauses."""
        pause = self.limits.first_pause_s
        for _ in range(self.limits.tries - 1):
            try:
                return attempt()
            except TransferError:
                self.sleep(pause)
                pause *= 2
        return attempt()

    def own_url(self, location: str) -> str:
        """A Location header as a whole URL. Raises RedirectRefused if it leads to another host."""
        ours = httpx.URL(self.url)
        try:
            target = ours.join(location)
        except httpx.InvalidURL as error:
            raise RedirectRefused(
                "the server names no place for the upload", where=self.url, why=str(error)
            ) from error
        if (target.scheme, target.host, target.port) != (ours.scheme, ours.host, ours.port):
            raise RedirectRefused("the server sends uploads elsewhere", where=self.url, why=str(target)[:200])
        return str(target)


def check_url(url: str) -> str:
    """The base URL without a trailing slash. Raises InvalidField: https, or plain http on loopback."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise InvalidField("this is not a URL", where="--server", why=str(error)) from error
    if parsed.scheme not in ("https", "http") or not parsed.host or parsed.userinfo:
        raise InvalidField("this is not the URL of a server", where="--server", why="https://host[:port]")
    if parsed.scheme == "http" and not _is_loopback(parsed.host):
        raise InvalidField(
            "plain http would show the token to the network", where="--server", hint="use https://"
        )
    return url.rstrip("/")


def refusal(answer: httpx.Response, *, where: str) -> LimosaError:
    """The coded error of an answer that was not expected."""
    status = answer.status_code
    if answer.is_redirect:
        location = answer.headers.get("Location", "")[:200]
        return RedirectRefused("the server sends this request elsewhere", where=where, why=location)
    problem = _problem(answer)
    detail = str(problem.get("detail") or problem.get("title") or answer.reason_phrase)[:500]
    code = str(problem.get("code") or "")
    place = str(problem.get("where") or where)[:200]
    hint = str(problem.get("hint") or "")[:500]
    why = f"{status}: {detail}"
    if status in _BUSY:
        return Unreachable("the server is busy", where=place, why=why, hint=hint)
    if status in (401, 403) and code not in known_errors():
        return NotAuthorised("the server does not allow this", where=place, why=why, hint=hint)
    known = known_errors().get(code, ServerRefused)
    if known.__module__ != LimosaError.__module__:
        known = ServerRefused  # a party's own errors are made from other fields
    evidence: JsonObject = {"status": status, "code": code}
    return known(detail or "refused", where=place, why=f"answer {status}", hint=hint, evidence=evidence)


def _problem(answer: httpx.Response) -> JsonObject:
    try:
        return parse_object(answer.content, what="problem", max_bytes=65536)
    except LimosaError:
        return {}  # a proxy's page: its status says enough


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError) as error:
        raise InvalidField(
            "the CA file cannot be read as certificates", where=str(ca), why=type(error).__name__
        ) from error
