"""A mosquitto that runs by itself, with what `limosa server broker-config` wrote (server 4)."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Final

from limosa_server.mqtt.broker_config import PID_FILE

log = logging.getLogger(__name__)
PROGRAM: Final = "mosquitto"


class ExternalBroker:
    """Nobody here starts, watches or ends it: that is its service's to do. `folder` holds the files that
    it reads. It may come and go; the bus connects again."""

    def __init__(self, folder: Path, *, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._folder = folder

    def start(self) -> None:
        """Nothing to do: a broker that is away delays, and never keeps the server from starting."""

    def stop(self) -> None:
        """It serves devices while the server is down."""

    def reload(self) -> None:
        """Has it read its list of revoked certificates again, where it runs on this machine. Elsewhere
        its service has to watch the file."""
        number = self.pid
        if number is None:
            log.warning("the broker is not on this machine: have it read revoked.crl again")
            return
        try:
            os.kill(number, signal.SIGHUP)
        except OSError as error:
            log.warning("the broker cannot be told to read revoked.crl again: %s", error.strerror)

    @property
    def pid(self) -> int | None:
        """Of the mosquitto that wrote its number here and is still one: numbers are given away again."""
        try:
            number = int((self._folder / PID_FILE).read_text().strip())
            name = Path(f"/proc/{number}/comm").read_text().strip()
        except (OSError, ValueError):
            return None
        return number if name == PROGRAM else None
