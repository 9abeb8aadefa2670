"""The watchdog: systemd hears from the agent only while the agent gets on with its work (agent 7).

Two things can stop. The event loop: then this task does not run, nothing is told, and systemd restarts
the agent after WatchdogSec. Or one turn of the supervisor waits for something that never comes, while
the loop goes on: then nothing is told either, once the turn has taken longer than any turn may.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from limosa_agent.service.notify import Notifier

log = logging.getLogger(__name__)

TURN_MAX_S: Final = 600.0
"""Longer than a turn can take by its own limits: loading the next set, falling back, golden vectors."""
BEATS: Final = 3  # in the time after which systemd gives up: one may be late, one be lost


class Watchdog:
    """Made before there is a supervisor; `watches` is set when there is one."""

    def __init__(self, notifier: Notifier, *, turn_max_s: float = TURN_MAX_S) -> None:
        self._notifier = notifier
        self._turn_max_s = turn_max_s
        self.turn_s: Callable[[], float] = lambda: 0.0  # how long the supervisor's turn has taken by now
        self.status: Callable[[], str] = lambda: "only what is good is served: see the log"

    def ready(self) -> None:
        """What is good is served."""
        self._notifier.ready()

    async def run(self) -> None:
        """Until cancelled. Returns at once where systemd expects no word."""
        every_s = self._notifier.watchdog_s
        if every_s is None:
            return
        while True:
            self.beat()
            await asyncio.sleep(every_s / BEATS)

    def beat(self) -> bool:
        """Whether systemd was told."""
        took_s = self.turn_s()
        if took_s > self._turn_max_s:
            log.error("a turn of the supervisor has taken %.0f s: systemd may restart the agent", took_s)
            return False
        self._notifier.alive(self.status())
        return True
