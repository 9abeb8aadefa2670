"""The sockets on which the device answers; the supervisor owns them, workers inherit them (agent 1)."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from limosa_agent.config import AgentConfig, split_address
from limosa_agent.errors import ListenRefused

BACKLOG: Final = 128
FIRST_SYSTEMD_FD: Final = 3


def open_sockets(config: AgentConfig) -> list[socket.socket]:
    """Those of a systemd socket unit, which outlive the supervisor; else our own. Raises ListenRefused."""
    handed = _from_systemd()
    if handed:
        return handed
    sockets: list[socket.socket] = []
    try:
        address = split_address(config.listen, where="listen")
        if address is not None:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            tcp = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(tcp)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind(address)
            tcp.listen(BACKLOG)
        if config.socket is not None:
            sockets.append(open_unix(config.socket, mode=0o660))
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise ListenRefused(
            "the address cannot be listened on",
            where=f"{config.listen} {config.socket or ''}".strip(),
            why=str(error),
            hint="another program may use it: choose another `listen` in agent.toml",
        ) from error
    return sockets


def open_unix(path: Path, *, mode: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """Takes the place of a socket that a killed process left. Raises OSError."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):  # anything else is not ours to remove: bind refuses then
            path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    unix = socket.socket(socket.AF_UNIX, kind)
    try:
        before = os.umask(0o777 & ~mode)
        try:
            unix.bind(str(path))
        finally:
            os.umask(before)
        if kind == socket.SOCK_STREAM:
            unix.listen(BACKLOG)
    except OSError:
        unix.close()
        raise
    return unix


def listen_address(sockets: Sequence[socket.socket]) -> str:
    """host:port of the first TCP socket, "" if there is none."""
    for one in sockets:
        if one.family in (socket.AF_INET, socket.AF_INET6):
            host, port = one.getsockname()[:2]
            return f"{host}:{port}"
    return ""


def _from_systemd() -> list[socket.socket]:
    """The sockets of our socket unit; children neither inherit them nor are told of them."""
    meant, count = os.environ.get("LISTEN_PID"), os.environ.get("LISTEN_FDS", "")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    if meant != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return []
    handed: list[socket.socket] = []
    try:
        for descriptor in range(FIRST_SYSTEMD_FD, FIRST_SYSTEMD_FD + int(count)):
            one = socket.socket(fileno=descriptor)
            handed.append(one)
            one.set_inheritable(False)
            if not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise OSError("it is no stream socket that listens")
    except OSError as error:
        for one in handed:
            one.close()
        raise ListenRefused(
            "a socket of the socket unit cannot be used",
            where="LISTEN_FDS",
            why=str(error),
            hint="limosa-agent install-service",
        ) from error
    return handed
