"""One POST to one address: no redirect, no proxy, one look-up, one deadline for all of it (trust 7.4)."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from limosa_contracts.errors import LinkLost
from limosa_server.alerts.addresses import Destination, resolve
from limosa_server.errors import WebhookRefused

STATUS_LINE_MAX_BYTES: Final = 4096  # of an answer nothing else is read
USER_AGENT: Final = "limosa-webhook/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendLimits:
    connect_s: float = 5.0  # to one address
    whole_s: float = 10.0  # look-up aside: connecting, TLS, request and status line
    addresses_max: int = 4  # of one name that are tried


def post(
    destination: Destination,
    body: bytes,
    headers: Mapping[str, str],
    *,
    limits: SendLimits,
    tls: ssl.SSLContext | None = None,
) -> int:
    """The status of the answer. Raises WebhookRefused for a private address, LinkLost without an answer."""
    try:
        addresses = resolve(destination)
    except OSError as error:
        raise LinkLost("the host has no address", where=destination.shown, why=str(error)[:200]) from error
    deadline = time.monotonic() + limits.whole_s
    request = _request(destination, body, headers)
    why = "no address"
    for address in addresses[: limits.addresses_max]:
        try:
            with _connected(address, destination, deadline, limits, tls) as link:
                return _exchange(link, request, deadline)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            why = str(error)[:200] or type(error).__name__
    raise LinkLost("the webhook does not answer", where=destination.shown, why=why)


def _connected(
    address: str, destination: Destination, deadline: float, limits: SendLimits, tls: ssl.SSLContext | None
) -> socket.socket:
    link = socket.create_connection(
        (address, destination.port), timeout=min(limits.connect_s, _left(deadline))
    )
    if not destination.secure:
        return link
    with contextlib.ExitStack() as stack:
        stack.callback(link.close)
        link.settimeout(_left(deadline))
        context = tls or ssl.create_default_context()
        secured = context.wrap_socket(link, server_hostname=destination.host)
        stack.pop_all()
        return secured


def _exchange(link: socket.socket, request: bytes, deadline: float) -> int:
    link.settimeout(_left(deadline))
    link.sendall(request)
    line = bytearray()
    while b"\n" not in line:
        link.settimeout(_left(deadline))
        piece = link.recv(1024)
        if not piece:
            raise ValueError("the connection closed without an answer")
        line += piece
        if len(line) > STATUS_LINE_MAX_BYTES:
            raise ValueError("the answer is not HTTP")
    return _status(bytes(line))


def _status(line: bytes) -> int:
    parts = line.split(b"\n")[0].split()
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit() or len(parts[1]) != 3:
        raise ValueError("the answer is not HTTP")
    return int(parts[1])


def _request(destination: Destination, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = {
        "Host": destination.host_header,
        "User-Agent": USER_AGENT,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **headers,
    }
    if any("\r" in text or "\n" in text for pair in lines.items() for text in pair):
        raise WebhookRefused("a header would end where it must not", where=destination.shown)
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {destination.target} HTTP/1.1\r\n{head}\r\n".encode("ascii") + body


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long")
    return left
