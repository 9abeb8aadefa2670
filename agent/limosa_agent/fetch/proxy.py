"""The HTTP proxy between a device and its fleet server (agent 7.1): a CONNECT tunnel per connection.

Named in agent.toml and never taken from the environment. Everything that leaves the machine is TLS
inside the tunnel, so a proxy sees which host is asked for and nothing else; loopback is always direct.
"""

from __future__ import annotations

import base64
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from limosa_agent.config_path import path_of
from limosa_agent.fetch.errors import ProxyRefused
from limosa_contracts.errors import InvalidField, LinkLost, Unreachable
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

HEAD_MAX_BYTES: Final = 8 * 1024  # of a proxy's answer
LOGIN_MAX_BYTES: Final = 1024
LOOPBACK: Final = ("localhost", "::1")
HOST: Final = re.compile(r"\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|[0-9A-Fa-f:.]+")
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?")

Watch = Callable[[socket.socket], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """The table `[proxy]`."""

    host: str
    port: int
    login_file: Path | None = None  # "user:password" in one line, readable by the agent alone
    direct: tuple[str, ...] = ()  # hosts that are reached without it; ".lan" is lan and all below it

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField. The login is read when a connection needs it."""
        host, port = _address(fields)
        proxy = cls(
            host=host,
            port=port,
            login_file=fields.maybe("login_file", lambda n: path_of(fields, n)),
            direct=fields.optional("direct", lambda n: fields.texts(n, pattern=HOST, max_items=64), ()),
        )
        fields.refuse_rest()
        return proxy

    def as_json(self) -> dict[str, JsonValue]:
        """The table again: a fetch child is told the place of the login, never the login."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        table: dict[str, JsonValue] = {"url": f"http://{host}:{self.port}", "direct": list(self.direct)}
        if self.login_file is not None:
            table["login_file"] = str(self.login_file)
        return table

    def passes_by(self, host: str) -> bool:
        """Whether `host` is reached directly.

        >>> proxy = Proxy(host="proxy.lan", port=3128, direct=(".lan", "fleet.example"))
        >>> [proxy.passes_by(host) for host in ("fleet.example", "a.lan", "lan", "notlan", "127.0.0.1")]
        [True, True, True, False, True]
        """
        name = host.lower().rstrip(".")
        if name in LOOPBACK or name.startswith("127."):
            return True
        return any(_covers(entry.lower(), name) for entry in self.direct)

    def authorization(self) -> str:
        """The header of a login, "" without one. Raises ProxyRefused."""
        if self.login_file is None:
            return ""
        try:
            with self.login_file.open("rb") as file:
                data = file.read(LOGIN_MAX_BYTES + 1)
            others = self.login_file.stat().st_mode & 0o077
        except OSError as error:
            raise ProxyRefused(
                "the login of the proxy cannot be read", where=str(self.login_file), why=error.strerror or ""
            ) from error
        login = data.rstrip(b"\r\n")
        if others or len(data) > LOGIN_MAX_BYTES or b":" not in login or b"\n" in login or b"\r" in login:
            raise ProxyRefused(
                "the login of the proxy cannot be used",
                where=str(self.login_file),
                why="others may read it" if others else "it is not one line of user:password",
                hint="one line user:password, and: chmod 600",
            )
        return f"Basic {base64.b64encode(login).decode()}"


def connect(
    host: str, port: int, *, proxy: Proxy | None, timeout_s: float, watch: Watch = lambda _: None
) -> socket.socket:
    """A connection to `host`, through the proxy where it is one for it; TLS is the caller's.

    `watch` gets the socket before anything is awaited on it, so that a guard can end what is too slow.
    Raises Unreachable (nothing was sent to the host), ProxyRefused.
    """
    if proxy is None or proxy.passes_by(host):
        return _dial(host, port, timeout_s, "the server does not answer", watch)
    tunnel = _dial(proxy.host, proxy.port, timeout_s, "the proxy does not answer", watch)
    try:
        _ask(tunnel, host, port, proxy, until_s=time.monotonic() + timeout_s)
        tunnel.settimeout(timeout_s)
    except BaseException:
        tunnel.close()
        raise
    return tunnel


def _dial(host: str, port: int, timeout_s: float, what: str, watch: Watch) -> socket.socket:
    try:
        found = socket.create_connection((host, port), timeout=timeout_s)
    except OSError as error:
        raise Unreachable(what, where=f"{host}:{port}", why=str(error)) from error
    watch(found)
    return found


def _ask(tunnel: socket.socket, host: str, port: int, proxy: Proxy, *, until_s: float) -> None:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    login = proxy.authorization()
    if login:
        lines.append(f"Proxy-Authorization: {login}")
    where = f"{proxy.host}:{proxy.port}"
    try:
        tunnel.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
        head = _head(tunnel, until_s=until_s)
    except OSError as error:
        raise Unreachable("the proxy does not answer", where=where, why=str(error)) from error
    status = _STATUS.match(head)
    if status is None:
        raise ProxyRefused("what answers is no HTTP proxy", where=where)
    if not status[1].startswith(b"2"):
        raise ProxyRefused(
            f"the proxy does not let this device through to {target}",
            where=where,
            why=f"HTTP {status[1].decode()}",
            hint="the proxy wants a login: [proxy] login_file" if status[1] == b"407" else "",
        )


def _head(tunnel: socket.socket, *, until_s: float) -> bytes:
    """The lines up to the empty one. Byte by byte: what follows belongs to the server. A proxy that sends
    one now and then is no quicker than one that sends none."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        if (left_s := until_s - time.monotonic()) <= 0:
            raise TimeoutError("it answers too slowly")
        tunnel.settimeout(left_s)
        byte = tunnel.recv(1)
        if not byte:
            raise ConnectionResetError("it closed the connection")
        head += byte
        if len(head) > HEAD_MAX_BYTES:
            raise LinkLost("the proxy's answer does not end", why=f"limit {HEAD_MAX_BYTES} bytes")
    return bytes(head)


def _address(fields: Fields) -> tuple[str, int]:
    text = fields.text("url", max_chars=1024)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise fields.wrong("url", str(error)) from error
    if parts.username is not None or parts.password is not None:
        raise InvalidField(
            "the login of a proxy stands in a file of its own",
            where=fields.at("url"),
            hint="[proxy] login_file",
        )
    if parts.scheme != "http" or not parts.hostname or not port or parts.path not in ("", "/") or parts.query:
        raise fields.wrong("url", "write http://host:port; what goes through it is encrypted by itself")
    return parts.hostname, port


def _covers(entry: str, host: str) -> bool:
    return host == entry.lstrip(".") or (entry.startswith(".") and host.endswith(entry))
