"""MQTT is a hint: while it is down, or silent for long, the same goes over HTTPS (trust 4.4)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from limosa_agent.chance import between
from limosa_agent.daemon_thread import in_daemon_thread
from limosa_agent.link.desired_inbox import DesiredInbox
from limosa_agent.link.https import LAST_DOCUMENT, HttpsLink
from limosa_agent.link.incoming import Incoming
from limosa_agent.link.outbox import Outbox
from limosa_agent.link.uplink import Uplink
from limosa_contracts.errors import LimosaError

log = logging.getLogger(__name__)

HTTPS_FIRST_S: Final = 10.0  # pause after an exchange that brought something (jittered)
HTTPS_QUIET_MAX_S: Final = 60.0  # longest pause while MQTT is down and the server answers: each that
# brings nothing is twice the one before, so that a fleet whose broker is gone does not storm the server
HTTPS_DOWN_MAX_S: Final = 300.0  # longest pause while HTTPS does not answer either
RETRY_AFTER_MAX_S: Final = 3600.0  # that a server which asks for patience is given


class HttpsPoll:
    """`receive` takes an envelope of the director."""

    def __init__(
        self,
        *,
        interval_s: float,
        https: HttpsLink,
        outbox: Outbox,
        uplink: Uplink,
        inbox: DesiredInbox,
        incoming: Incoming,
        mqtt_up: Callable[[], bool],
        receive: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._interval_s = interval_s
        self._https = https
        self._outbox = outbox
        self._uplink = uplink
        self._inbox = inbox
        self._incoming = incoming
        self._mqtt_up = mqtt_up
        self._receive = receive
        self._etag = ""

    async def run(self) -> None:
        """Until cancelled."""
        pause_s = HTTPS_FIRST_S
        while True:
            await asyncio.sleep(min(pause_s, self._interval_s) * between(0.5, 1.5))
            silent = time.monotonic() - self._incoming.heard_s >= self._interval_s
            if self._mqtt_up() and not silent and not self._uplink.deaf:
                self._https.rest()
                pause_s = HTTPS_FIRST_S
                continue
            pause_s = await self._turn(pause_s)

    async def _turn(self, pause_s: float) -> float:
        """One exchange; the pause until the next."""
        try:
            news = await self._exchange()
        except LimosaError as error:
            log.info("https: %s", error)
            last = error.evidence.get(LAST_DOCUMENT)
            if isinstance(last, str):
                await self._receive(last.encode())
            if self._inbox.decommissioned is not None:
                return self._interval_s  # it is asked all the same: a later document may say otherwise
            asked = error.evidence.get("retry_after_s")
            if isinstance(asked, (int, float)):
                await asyncio.sleep(min(float(asked), RETRY_AFTER_MAX_S))
            return min(2 * pause_s, HTTPS_DOWN_MAX_S)
        except Exception:
            log.exception("an exchange over https failed")
            return min(2 * pause_s, HTTPS_DOWN_MAX_S)
        if self._mqtt_up():
            self._incoming.heard()
        return HTTPS_FIRST_S if news else min(2 * pause_s, HTTPS_QUIET_MAX_S)

    async def _exchange(self) -> bool:
        """Whether anything went up or came down."""
        news = False
        while (not self._mqtt_up() or self._uplink.deaf) and (batch := self._uplink.batch()):
            before = self._outbox.rows
            self._uplink.took(await in_daemon_thread(self._https.reports, batch))
            if self._outbox.rows >= before:
                break
            news = True
        envelope, tag = await in_daemon_thread(self._https.desired, self._etag)
        if envelope is None:
            return news
        self._etag = ""  # what is not settled, for want of a key or of disk, is to come again
        await self._receive(envelope)
        self._etag = tag if self._inbox.settled else ""
        return True
