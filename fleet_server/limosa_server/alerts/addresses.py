"""Where a webhook may lead: resolved once, and only to what everybody may reach (trust 7.4).

Who adds a webhook must not make the server speak with what only the server reaches: itself, its
neighbours, a cloud's metadata service. A host that the server's own settings allow by name is excepted.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import SplitResult, urlsplit

from limosa_server.errors import WebhookRefused

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
URL_MAX_CHARS: Final = 1024
_ASSIGNED: Final = ipaddress.IPv4Network("192.0.0.0/24")
"""For protocols (RFC 6890), and one cloud's metadata service; older Pythons take most of it for public."""
_NAT64: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A parsed URL. `allowed`: its host is in the settings by name, so private addresses and http may be."""

    secure: bool
    host: str  # without brackets
    port: int
    target: str  # path and query, as they are sent
    allowed: bool

    @property
    def shown(self) -> str:
        """Without path and query: these are often what nobody else may know."""
        return f"{'https' if self.secure else 'http'}://{self.host_header}"

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def parse_destination(url: str, allowed_hosts: Collection[str]) -> Destination:
    """Raises WebhookRefused."""
    if len(url) > URL_MAX_CHARS or not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise WebhookRefused("this is not a URL", where="url", why="printable ASCII, at most 1024 characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise WebhookRefused("this is not a URL", where="url", why=str(error)[:200]) from error
    if parts.scheme not in ("https", "http") or not host or parts.fragment or "@" in parts.netloc:
        raise WebhookRefused(
            "this is not the URL of a webhook",
            where="url",
            why="https://host[:port]/path",
        )
    host = host.rstrip(".").lower()
    allowed = host in {one.rstrip(".").lower() for one in allowed_hosts}
    if parts.scheme == "http" and not allowed:
        raise WebhookRefused("a webhook is reached over https", where="url", why=_how(host))
    secure = parts.scheme == "https"
    return Destination(
        secure=secure,
        host=host,
        port=port or (443 if secure else 80),
        target=_target(parts),
        allowed=allowed,
    )


def resolve(destination: Destination) -> tuple[str, ...]:
    """The addresses to connect to, in the resolver's order: no name is looked up after this.

    Raises WebhookRefused if one of them is not for everybody, OSError where there is none.
    """
    found = socket.getaddrinfo(
        destination.host, destination.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not destination.allowed:
        for text in addresses:
            if not is_public(ipaddress.ip_address(text.partition("%")[0])):
                raise WebhookRefused(
                    "a webhook must not lead into a private network",
                    where=destination.shown,
                    why=_how(destination.host),
                )
    return addresses


def is_public(address: Address) -> bool:
    """Whether everybody may reach it. An IPv4 address in an IPv6 one is judged as what it is.

    >>> [is_public(ipaddress.ip_address(text)) for text in ("9.9.9.9", "169.254.169.254", "::ffff:10.0.0.1")]
    [True, False, False]
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = _inside(address)
        if inner is not None:
            return is_public(inner)
        if any(address in network for network in _NAT64) or address.is_site_local:
            return False
    elif address in _ASSIGNED:
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    )


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64[0] else None


def _target(parts: SplitResult) -> str:
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path


def _how(host: str) -> str:
    return f"{host[:200]} is not allowed by name: limosa server run --webhook-host {host[:200]}"
