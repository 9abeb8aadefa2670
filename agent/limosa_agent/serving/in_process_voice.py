"""What `limosa_agent.Model` tells the supervisor, if one runs (agent 1). No prediction waits for it."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from typing import Final

from limosa_agent.serving.loaded_model import LoadedModel
from limosa_agent.telemetry.instance_message import InstanceMessage
from limosa_contracts.errors import LimosaError
from limosa_contracts.json_value import JsonValue

LAST_WAIT_S: Final = 0.2  # at a switch and at the end, where no later message makes up for a lost one


class Voice:
    """Of one loaded release in one process. A child that is forked of it stays silent: it would tell
    again what its parent counted."""

    def __init__(self, path: str, loaded: LoadedModel) -> None:
        """`path`: of the supervisor's socket, whether it is there or not."""
        self._path: Final = path
        self._slot: Final = loaded.slot
        self._observations: Final = loaded.observations
        self._pid: Final = os.getpid()
        self._instance: Final = f"{self._pid}-{secrets.token_hex(8)}"
        self._sequence = 0
        self._told: dict[str, JsonValue] | None = None
        self._told_seen = 0
        self._told_to: tuple[int, int] | None = None  # which socket: a supervisor makes its own at each start

    def tell(self, *, wait_s: float = 0.0) -> None:
        """News, if there are any and there is a supervisor. Raises nothing; a full socket is left alone."""
        seen = self._observations.seen
        if seen == self._told_seen or os.getpid() != self._pid:
            return
        # OSError: no supervisor, or none that listens; the others: what was counted cannot be told
        with (
            suppress(OSError, ValueError, LimosaError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to,
        ):
            to.settimeout(wait_s)
            to.connect(self._path)
            found = os.stat(self._path)  # noqa: PTH116  # a Path object costs more
            socket_id = (found.st_ino, found.st_ctime_ns)
            if self._told is not None and socket_id != self._told_to:
                self._send(
                    to, self._told
                )  # another supervisor has counted this: it is where the new one begins
            snapshot = self._observations.snapshot()
            self._send(to, snapshot)
            self._told, self._told_seen, self._told_to = snapshot, seen, socket_id

    def tell_last(self) -> None:
        self.tell(wait_s=LAST_WAIT_S)

    def _send(self, to: socket.socket, snapshot: dict[str, JsonValue]) -> None:
        message = InstanceMessage(
            model=self._slot.model,
            manifest_sha256=self._slot.manifest_sha256,
            instance=self._instance,
            sequence=self._sequence,
            snapshot=snapshot,
        )
        to.send(message.encode())
        self._sequence += 1
