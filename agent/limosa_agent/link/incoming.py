"""What the broker brings, on its way from the link's thread to the loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from limosa_agent.link.trickle import Trickle
from limosa_contracts.errors import LimosaError
from limosa_contracts.topics import Suffix

log = logging.getLogger(__name__)

AGAIN_S: Final = 5.0  # before a desired state is looked at again that could not be stored
INCOMING_MAX: Final = 64  # messages of the broker that wait; above, the oldest is dropped
DESIRED_BURST: Final = 20  # documents that are worked off as they come;
DESIRED_EVERY_S: Final = 5.0  # then one in this time, the newest: each costs the flash synced writes

Obey = Callable[[Suffix, bytes], Awaitable[None]]


class Incoming:
    """`heard_s`: when the broker was last heard of (monotonic).

    A captured director can sign documents as fast as the broker carries them: of those that come too
    fast, only the newest is worked off.
    """

    def __init__(self, *, obey: Obey, desired_every_s: float = DESIRED_EVERY_S) -> None:
        self._obey = obey
        self._pace = Trickle(burst=DESIRED_BURST, every_s=desired_every_s)
        self._held: bytes | None = None  # the newest desired state that came too fast
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
                if suffix is Suffix.DESIRED and self._too_fast(payload):
                    continue
                try:
                    await self._obey(suffix, payload)
                except LimosaError as error:
                    log.warning("a message on %s is refused: %s", suffix.value, error)
                except Exception:
                    # A full disk, say. An acknowledgement comes again, what is retained does not.
                    log.exception("a message on %s was not worked off", suffix.value)
                    if suffix is Suffix.DESIRED:
                        self._loop.call_later(AGAIN_S, self.take, suffix, payload)

    def _too_fast(self, payload: bytes) -> bool:
        if self._held is None and self._pace.allows(now_s=time.monotonic()):
            return False
        if self._held is None:
            self._loop.call_later(self._pace.every_s, self._take_held)
        self._held = payload
        return True

    def _take_held(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self.take(Suffix.DESIRED, held)
