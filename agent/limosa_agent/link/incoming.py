"""What the broker brings, on its way from the link's thread to the loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from limosa_contracts.errors import LimosaError
from limosa_contracts.topics import Suffix

log = logging.getLogger(__name__)

AGAIN_S: Final = 5.0  # before a desired state is looked at again that could not be stored
INCOMING_MAX: Final = 64  # messages of the broker that wait; above, the oldest is dropped

Obey = Callable[[Suffix, bytes], Awaitable[None]]


class Incoming:
    """`heard_s`: when the broker was last heard of (monotonic)."""

    def __init__(self, *, obey: Obey) -> None:
        self._obey = obey
        self._loop = asyncio.get_running_loop()
        # Desired states are retained and acknowledgements cumulative: the newest are worth keeping.
        self._waiting: deque[tuple[Suffix, bytes]] = deque(maxlen=INCOMING_MAX)
        self._arrived = asyncio.Event()
        self.heard_s = time.monotonic()

    def heard(self) -> None:
        self.heard_s = time.monotonic()

    def call(self, function: Callable[[], object]) -> None:
        """From the link's thread onto the loop."""
        with suppress(RuntimeError):  # the loop has closed: the agent is stopping
            self._loop.call_soon_threadsafe(function)

    def take(self, suffix: Suffix, payload: bytes) -> None:
        """In the link's thread."""
        self._waiting.append((suffix, payload))
        self.call(self._arrived.set)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                suffix, payload = self._waiting.popleft()
                self.heard()
                try:
                    await self._obey(suffix, payload)
                except LimosaError as error:
                    log.warning("a message on %s is refused: %s", suffix.value, error)
                except Exception:
                    # A full disk, say. An acknowledgement comes again, what is retained does not.
                    log.exception("a message on %s was not worked off", suffix.value)
                    if suffix is Suffix.DESIRED:
                        self._loop.call_later(AGAIN_S, self.take, suffix, payload)
