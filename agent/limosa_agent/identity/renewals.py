"""Keeps the certificate young: a short-lived child renews it, the running links take it up (trust 6.2)."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from limosa_agent.chance import between
from limosa_agent.identity.identity import Identity, load_identity
from limosa_contracts.canonical import parse_object
from limosa_contracts.errors import LimosaError
from limosa_contracts.json_value import JsonObject, JsonValue

log = logging.getLogger(__name__)

RENEW_FIRST_S: Final = 60.0  # after the start, jittered
RENEW_AGAIN_S: Final = 3600.0  # after a try that failed
RENEW_MAX_S: Final = 120.0


class Renewals:
    """`adopt` gets each new identity; `wanted`: whether a server would make one."""

    def __init__(
        self,
        *,
        config_path: Path,
        identity_dir: Path,
        adopt: Callable[[Identity], None],
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._config_path = config_path
        self._identity_dir = identity_dir
        self._adopt = adopt
        self._wanted = wanted
        self.expires_at = 0.0  # of the certificate, Unix seconds; 0 until it was looked at

    async def run(self) -> None:
        """Until cancelled: a new key and certificate when a third of the old one's life remains."""
        pause_s = RENEW_FIRST_S
        while True:
            await asyncio.sleep(pause_s * between(0.5, 1.0))
            if not self._wanted():
                pause_s = RENEW_AGAIN_S
                continue
            try:
                again = await self._renew()
            except Exception:
                log.exception("the certificate was not renewed")
                again = None
            pause_s = float(again) if isinstance(again, (int, float)) else RENEW_AGAIN_S

    async def _renew(self) -> JsonValue:
        """When it is worth looking again, in seconds."""
        said = await self._child()
        expires_at = said.get("expires_at")
        if isinstance(expires_at, (int, float)):
            self.expires_at = float(expires_at)
        if True in (said.get("renewed"), said.get("roots")):
            self._adopt(load_identity(self._identity_dir))
        if said.get("renewed") is True:
            log.info("the certificate is renewed")
        if said.get("roots") is True:
            log.info("the root CAs of the fleet are other ones")
        if "roots_error" in said:
            log.warning("the root CAs stay as they are: %s", said["roots_error"])
        return said.get("again_s")

    async def _child(self) -> JsonObject:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "limosa_agent.identity.renew",
            "--config",
            str(self._config_path),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            out, _ = await asyncio.wait_for(child.communicate(), RENEW_MAX_S)
        except TimeoutError:
            return {}
        finally:
            if child.returncode is None:  # out of time, or the agent stops
                child.kill()
                await child.wait()
        try:
            said = parse_object(out, what="renewal")
        except LimosaError:
            return {}  # a child that died says nothing; it is tried again
        if "error" in said:
            log.warning("the certificate was not renewed: %s", said["error"])
        return said
