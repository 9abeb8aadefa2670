"""Whether the broker that a server's folder configures answers: a process that hangs still takes connections,
for the system does that on its behalf."""

from __future__ import annotations

import os
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from limosa_server.deploy.finding import Finding
from limosa_server.mqtt.packets import connect

ANSWER_S: Final = 5.0  # for connection, handshake and answer together
KEEPALIVE_S: Final = 10
CONNACK: Final = 0x20
DISCONNECT: Final = bytes((0xE0, 0))
ANY_HOST: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # not listened on
_LISTENERS: Final = {
    "mosquitto.conf": re.compile(r"^listener (?P<port>\d+) ?(?P<host>\S*)$", re.MULTILINE),
    "iotcore.toml": re.compile(r'^listen = "(?P<host>.*):(?P<port>\d+)"$', re.MULTILINE),
}
_WITH_TLS: Final = re.compile(r"^cafile ", re.MULTILINE)
_RESTART: Final = (
    "systemctl restart limosa-broker, or limosa-server where it starts the broker itself; meanwhile devices "
    "fetch and report over HTTPS"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listener:
    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def check_broker(folder: Path, *, answer_s: float = ANSWER_S) -> Iterator[Finding]:
    """`folder`: of the broker's files. One on another machine is not looked at. Takes `answer_s` at most."""
    listener = _listener(folder)
    if listener is None:
        return
    where = f"mqtt{'s' if listener.tls else ''}://{listener}"
    try:
        trouble = _ask(listener, answer_s)
    except TimeoutError:
        yield Finding(
            bad=True,
            what=f"the broker hangs: it takes connections, and has not answered for {answer_s:g} s",
            where=where,
            hint=_RESTART,
        )
    except OSError as error:
        yield Finding(
            bad=False,
            what=f"no broker can be reached: {error.strerror or error}",
            where=where,
            hint="systemctl status limosa-broker; one that the server starts runs while the server does",
        )
    else:
        if trouble:
            yield Finding(
                bad=True, what=trouble, where=where, hint="see which program has that port: ss -ltnp"
            )


def _listener(folder: Path) -> _Listener | None:
    """Of the newest configuration; None where no broker was ever configured."""
    there = [path for name in _LISTENERS if (path := folder / name).is_file()]
    if not there:
        return None
    newest = max(there, key=lambda path: path.stat().st_mtime)
    text = newest.read_text(errors="replace")
    found = _LISTENERS[newest.name].search(text)
    if found is None:
        return None
    host = found["host"].removeprefix("[").removesuffix("]")
    tls = _WITH_TLS.search(text) is not None
    return _Listener(host=ANY_HOST.get(host, host), port=int(found["port"]), tls=tls)


def _ask(listener: _Listener, answer_s: float) -> str:
    """What is wrong with what answers, "" if nothing is. Raises TimeoutError, OSError if nothing listens."""
    deadline = time.monotonic() + answer_s
    with socket.create_connection((listener.host, listener.port), timeout=answer_s) as plain:
        if not listener.tls:
            return "" if _answer(plain, deadline) == CONNACK else "what listens there is no MQTT broker"
        hidden = _unverified().wrap_socket(plain, do_handshake_on_connect=False)
        with hidden:
            hidden.settimeout(_left(deadline))
            try:
                hidden.do_handshake()
            except (ssl.SSLError, ConnectionError) as error:
                reason = getattr(error, "reason", None) or "it ends the connection"
                # An alert is for those without a certificate, and is an answer.
                return "" if "ALERT" in reason else f"what listens there is no broker with TLS: {reason}"
            with suppress(ssl.SSLError, ConnectionError):  # the same, of TLS 1.3: after the handshake
                _answer(hidden, deadline)
    return ""


def _unverified() -> ssl.SSLContext:
    """Without a certificate of ours: with the server's, the broker would take this for the server itself, and
    end its session. Whether the broker is who it says it is, is not asked here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _answer(connection: socket.socket, deadline: float) -> int | None:
    """The first byte of what comes to CONNECT, None for the end of the connection."""
    connection.settimeout(_left(deadline))
    connection.sendall(connect(f"limosa-check-{os.getpid()}", keepalive_s=KEEPALIVE_S))
    connection.settimeout(_left(deadline))
    said = connection.recv(1)
    if said:
        connection.sendall(DISCONNECT)
    return said[0] if said else None


def _left(deadline: float) -> float:
    """Raises TimeoutError."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
