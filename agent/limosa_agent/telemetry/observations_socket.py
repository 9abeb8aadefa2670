"""Where applications' instances of `limosa_agent.Model` tell what they counted: a datagram socket (agent 1).

So many datagrams are read in a second, whoever sends them; above that they wait in the kernel, which
refuses the sender's next one: it tells the same and more a second later.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from limosa_agent.listening import open_unix
from limosa_agent.telemetry.instance_message import MESSAGE_MAX_BYTES, InstanceMessage
from limosa_contracts.errors import LimosaError

log = logging.getLogger(__name__)

READ_EVERY_S: Final = 0.1
READ_AT_ONCE: Final = 8  # 80 a second: one each of 64 instances, and some
READS_AT_LAST: Final = 8  # whoever sends without end must not keep a stopping agent


class ObservationsSocket:
    """`take` is called on the loop with each message that could be read."""

    def __init__(self, path: Path, take: Callable[[InstanceMessage], None]) -> None:
        """Raises OSError."""
        self._path: Final = path
        self._take: Final = take
        # The application's user may be another one, of the agent's group.
        self._socket: Final = open_unix(path, mode=0o660, kind=socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._loop: Final = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._warned = False
        self._listen()

    def close(self) -> None:
        """Reads what has come, as far as it is not too much, and ends."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._socket)
        for _ in range(READS_AT_LAST):
            if not self._read():
                break
        self._socket.close()
        with suppress(OSError):  # the disk may be read-only by now
            self._path.unlink(missing_ok=True)

    def _listen(self) -> None:
        self._loop.add_reader(self._socket, self._ready)

    def _ready(self) -> None:
        self._loop.remove_reader(self._socket)
        self._read()
        self._pause = self._loop.call_later(READ_EVERY_S, self._listen)

    def _read(self) -> bool:
        """At most READ_AT_ONCE; whether there may be more."""
        for _ in range(READ_AT_ONCE):
            try:
                data = self._socket.recv(MESSAGE_MAX_BYTES + 1)
            except OSError:  # nothing more
                return False
            try:
                self._take(InstanceMessage.parse(data))
            except LimosaError as error:
                if not self._warned:  # once: whoever sends these must not fill the log
                    self._warned = True
                    log.warning("what an application told of its inferences is left out: %s", error)
        return True


def try_observations(path: Path, take: Callable[[InstanceMessage], None]) -> ObservationsSocket | None:
    """None where it cannot be had: its path is too long, or the disk is full. Serving needs none."""
    try:
        return ObservationsSocket(path, take)
    except OSError as error:
        log.error("there is no socket %s for what applications count: %s", path, error)
        return None
