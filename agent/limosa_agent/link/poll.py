"""MQTT is a hint: while it is down, or silent for long, the same goes over HTTPS (trust 4.4)."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

from limosa_agent.daemon_thread import in_daemon_thread
from limosa_agent.link.desired_inbox import DesiredInbox
from limosa_agent.link.https import HttpsLink
from limosa_agent.link.incoming import Incoming
from limosa_agent.link.outbox import Outbox
from limosa_agent.link.uplink import Uplink
from limosa_contracts.errors import LimosaError

log = logging.getLogger(__name__)

HTTPS_WHILE_DOWN_S: Final = 10.0  # MQTT is down: desired and reports go over HTTPS this often (jittered)
HTTPS_MAX_S: Final = 300.0  # the same, when HTTPS does not answer either


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
        pause_s = HTTPS_WHILE_DOWN_S
        while True:
            await asyncio.sleep(min(pause_s, self._interval_s) * random.uniform(0.5, 1.5))  # noqa: S311  jitter, no secret
            silent = time.monotonic() - self._incoming.heard_s >= self._interval_s
            if self._mqtt_up() and not silent:
                self._https.rest()
                pause_s = HTTPS_WHILE_DOWN_S
                continue
            try:
                await self._exchange()
                if self._mqtt_up():
                    self._incoming.heard()
                pause_s = HTTPS_WHILE_DOWN_S
            except LimosaError as error:
                log.info("https: %s", error)
                pause_s = min(2 * pause_s, HTTPS_MAX_S)
            except Exception:
                log.exception("an exchange over https failed")
                pause_s = min(2 * pause_s, HTTPS_MAX_S)

    async def _exchange(self) -> None:
        while not self._mqtt_up() and (batch := self._uplink.batch()):
            before = self._outbox.rows
            self._uplink.took(await in_daemon_thread(self._https.reports, batch))
            if self._outbox.rows >= before:
                break
        envelope, tag = await in_daemon_thread(self._https.desired, self._etag)
        if envelope is not None:
            self._etag = ""  # what is not settled, for want of a key or of disk, is to come again
            await self._receive(envelope)
            self._etag = tag if self._inbox.settled else ""
