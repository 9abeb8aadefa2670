"""What a service tells systemd: ready, alive, what it does (sd_notify). Silent where nobody asked.

Protocol: one datagram of `NAME=value` lines to the Unix socket named by NOTIFY_SOCKET.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

log = logging.getLogger(__name__)

STATUS_MAX_CHARS = 200  # one line of `systemctl status`


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifier:
    """`address` is "" and `watchdog_s` None where the agent does not run under systemd."""

    address: str = ""
    watchdog_s: float | None = None  # systemd restarts the agent when it heard nothing for so long

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], *, pid: int) -> Self:
        """What cannot be understood counts as absent: serving does not depend on it."""
        address = environment.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return cls()
        microseconds = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        if not meant or not (microseconds.isascii() and microseconds.isdigit()) or int(microseconds) == 0:
            return cls(address=address)
        return cls(address=address, watchdog_s=int(microseconds) / 1e6)

    def ready(self) -> None:
        """What is committed is served."""
        self._tell("READY=1")

    def alive(self, status: str) -> None:
        self._tell(f"WATCHDOG=1\nSTATUS={' '.join(status.split())[:STATUS_MAX_CHARS]}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, lines: str) -> None:
        if not self.address:
            return
        place = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.setblocking(False)  # a service manager that does not read must not stop the agent
                line.sendto(lines.encode(), place)
        except OSError as error:
            log.warning("systemd was not told %s: %s", lines.partition("\n")[0], error)


def from_systemd() -> Notifier:
    """This process's; children do not inherit it, or they could speak for the agent."""
    notifier = Notifier.from_environment(os.environ, pid=os.getpid())
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        os.environ.pop(name, None)
    return notifier
