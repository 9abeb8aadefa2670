"""Speaks with a fleet server over its REST API, for the commands of `limosa`."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

import click
import httpx

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import (
    InvalidJson,
    LimosaError,
    NotAuthenticated,
    TooLarge,
    Unreachable,
    Usage,
    known_errors,
)
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.link_hints import link_hint
from limosa_server import errors as _errors  # noqa: F401  # so that codes of the server are known here
from limosa_server.core import errors as _rollout_errors  # noqa: F401  # as above
from limosa_server.settings import is_loopback

F = TypeVar("F", bound=Callable[..., object])
SERVER: Final = "LIMOSA_SERVER"
TOKEN: Final = "LIMOSA_TOKEN"  # noqa: S105  # the name of a variable
CA: Final = "LIMOSA_CA"
TIMEOUT_S: Final = 30.0  # one request, planning over a large fleet included
ANSWER_MAX_BYTES: Final = 32 * 1024 * 1024


def server_options(function: F) -> F:
    """Adds --server, --token and --ca; the command makes its client with `Client.of(server, token, ca)`."""
    for option in (
        click.option("--ca", default=None, help=f"File with the CA of the server's certificate. [{CA}]"),
        click.option("--token", default=None, help=f"API token. [{TOKEN}]"),
        click.option("--server", default=None, help=f"URL of the server. [{SERVER}]"),
    ):
        function = option(function)
    return function


@dataclass(frozen=True, slots=True)
class Client:
    """Errors of the server are raised as what they are, by their code."""

    http: httpx.Client

    @classmethod
    def of(cls, server: str | None, token: str | None, ca: str | None) -> Self:
        """Raises Usage, NotAuthenticated where an option and its variable are both missing."""
        base = (server or os.environ.get(SERVER, "")).rstrip("/")
        _check_url(base)
        secret = token or os.environ.get(TOKEN, "")
        if not secret:
            raise NotAuthenticated("no API token is given", where="--token", hint=f"export {TOKEN}=lmp_…")
        return cls(
            httpx.Client(
                base_url=base,
                headers={"Authorization": f"Bearer {secret}", "Accept-Encoding": "identity"},
                timeout=TIMEOUT_S,
                verify=_trusted(ca or os.environ.get(CA, "")) if base.startswith("https") else False,
                follow_redirects=False,
                trust_env=False,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def get(self, path: str, **query: str | int | list[str] | None) -> JsonObject:
        return self._ask("GET", path, query=query)

    def post(
        self, path: str, body: JsonObject | None = None, *, headers: Mapping[str, str] | None = None
    ) -> JsonObject:
        return self._ask("POST", path, body=body or {}, headers=headers)

    def put(self, path: str, body: JsonObject) -> JsonObject:
        return self._ask("PUT", path, body=body)

    def patch(self, path: str, body: JsonObject) -> JsonObject:
        return self._ask("PATCH", path, body=body)

    def delete(self, path: str) -> JsonObject:
        return self._ask("DELETE", path)

    def upload(self, path: str, content: bytes, **query: str) -> JsonObject:
        """A file that is no JSON, as CSV."""
        return self._ask("POST", path, query=query, content=content, headers={"Content-Type": "text/csv"})

    def raw(
        self,
        method: str,
        path: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        absent_is_fine: bool = False,
    ) -> httpx.Response:
        """An answer that is not JSON. Raises Unreachable, and what the server said."""
        try:
            with self.http.stream(method, path, content=content, headers=dict(headers or {})) as response:
                body = _read(response)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.is_success or (absent_is_fine and response.status_code == 404):
            return response
        raise _refused(response, body)

    def pieces(self, path: str, *, max_bytes: int, **query: str) -> Iterator[bytes]:
        """A file, piece by piece, as it is. Raises TooLarge, Unreachable, and what the server said."""
        size = 0
        try:
            with self.http.stream("GET", path, params=query) as response:
                if not response.is_success:
                    raise _refused(response, _read(response))
                for piece in response.iter_raw():
                    size += len(piece)
                    if size > max_bytes:
                        raise TooLarge("a file does not end", where=path, why=f"at most {max_bytes} bytes")
                    yield piece
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def every(self, path: str, **query: str | int | list[str] | None) -> Iterator[JsonObject]:
        """All items of a list, page by page."""
        cursor: str | None = None
        while True:
            answered = self.get(path, cursor=cursor, **query)
            items = answered.get("items")
            for item in items if isinstance(items, list) else []:
                if isinstance(item, dict):
                    yield item
            following = answered.get("next")
            if not isinstance(following, str):
                return
            cursor = following

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: JsonObject | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> JsonObject:
        try:
            with self.http.stream(
                method,
                path,
                params={key: value for key, value in (query or {}).items() if value not in (None, "", [])},
                content=content if body is None else encode_canonical(body),
                headers={"Content-Type": "application/json", **(headers or {})},
            ) as response:
                said = _read(response)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.is_success:
            return parse_object(said, what="answer", max_bytes=ANSWER_MAX_BYTES)
        raise _refused(response, said)

    def _unreachable(self, error: httpx.HTTPError) -> Unreachable:
        url, why = str(self.http.base_url), str(error) or repr(error)
        return Unreachable("the server does not answer", where=url, why=why, hint=link_hint(url, why))


def _check_url(base: str) -> None:
    """Raises Usage: https, or plain http to this machine, where nobody else hears the token."""
    try:
        url = httpx.URL(base)
    except httpx.InvalidURL as error:
        raise Usage("this is not a URL", where="--server", why=str(error)) from error
    if url.scheme not in ("http", "https") or not url.host:
        why = f"{base[:80]!r} is no address" if base else ""
        raise Usage(
            "which server?", where="--server", why=why, hint=f"export {SERVER}=https://fleet.example:8443"
        )
    if url.scheme == "http" and not is_loopback(url.host):
        raise Usage("plain http would show the token to the network", where="--server", hint="use https://")


def _read(response: httpx.Response) -> bytes:
    """The bytes as they came, not unpacked. Raises TooLarge."""
    content = bytearray()
    for piece in response.iter_raw():
        content += piece
        if len(content) > ANSWER_MAX_BYTES:
            raise TooLarge(
                "the server's answer does not end", why=f"at most {ANSWER_MAX_BYTES} bytes are read"
            )
    return bytes(content)


def _trusted(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca or None)
    except OSError as error:
        raise Usage("the CA file cannot be read", where="--ca", why=str(error)) from error


def _refused(response: httpx.Response, content: bytes) -> LimosaError:
    """The server's problem+json as the error it was there."""
    try:
        problem = parse_object(content, what="problem", max_bytes=1024 * 1024)
    except (InvalidJson, TooLarge):
        problem = {}
    kind = known_errors().get(_text(problem, "code"))
    if kind is None:
        return Unreachable(
            f"the server answered {response.status_code}",
            where=str(response.request.url),
            why=_text(problem, "detail") or content[:200].decode(errors="replace"),
            hint="is this the address of a limosa server?",
        )
    return kind(
        _text(problem, "detail") or kind.summary,
        where=_text(problem, "where"),
        hint=_text(problem, "hint"),
    )


def _text(problem: Mapping[str, JsonValue], name: str) -> str:
    value = problem.get(name)
    return value if isinstance(value, str) else ""
