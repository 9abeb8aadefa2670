"""A device that cannot start whole still serves what is good (agent, promise; 3.2).

A state database that is locked or cannot grow because the disk is full, an identity that was damaged:
each costs the link and updates until it is over, never the model.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from limosa_agent.config import AgentConfig
from limosa_agent.control.safe import SafeMode, safe_handlers
from limosa_agent.control_socket import end_control, try_control
from limosa_agent.errors import JournalCorrupt
from limosa_agent.fetch.errors import ReleaseBroken
from limosa_agent.fetch.paths import StatePaths
from limosa_agent.fetch.slots import verify_release
from limosa_agent.identity.identity import load_identity
from limosa_agent.link.https import https_context
from limosa_agent.link.mqtt import mqtt_context
from limosa_agent.serving.errors import LoadFailed
from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.pool import ServingPool
from limosa_agent.serving.slot_ref import SlotRef
from limosa_agent.store.journal import Journal
from limosa_agent.store.recovery import state_from_disk
from limosa_agent.store.state_db import FILE, StateDb
from limosa_agent.update.state import ModelState
from limosa_contracts.errors import LimosaError
from limosa_contracts.names import ModelName

log = logging.getLogger(__name__)

TROUBLE: Final = (LimosaError, OSError, sqlite3.Error, ValueError)
"""What `check_start` raises; ssl.SSLError is an OSError, UnicodeError a ValueError."""
LOOK_AGAIN_S: Final = 5.0


def has_releases(state_dir: Path) -> bool:
    """Whether anything was ever installed here."""
    return any(StatePaths(state_dir).models.glob("*/*/releases/*"))


def check_start(config: AgentConfig) -> None:
    """Raises one of TROUBLE if the whole agent cannot be started now. Changes nothing that matters.

    A state database that is damaged is no trouble: it is set aside, and made again from the slots.
    """
    identity = load_identity(config.identity_dir)
    _ = identity.certificate_pem
    https_context(config)
    if identity.enrolled.mqtt_tls:
        mqtt_context(identity)
    with suppress(JournalCorrupt), closing(StateDb.open(config.state_dir)) as db:
        db.set_meta("writable", "1")


async def serve_until_whole(
    config: AgentConfig, sockets: Sequence[socket.socket], stop: asyncio.Event, *, trouble: Exception
) -> None:
    """Serves the committed versions until the agent can be started whole, or shall stop.

    `trouble` is what it could not be started for; the control socket tells of it.
    """
    slots = list(await asyncio.to_thread(lambda: tuple(good_slots(config.state_dir))))
    limits = config.inference.over(ServingLimits(threads=config.serving.threads))
    pool = ServingPool(
        sockets=sockets, limits=limits, options=config.serving.options, on_event=lambda event: None
    )
    try:
        try:
            await pool.start(slots)
        except LoadFailed as error:
            log.error("the committed versions do not load: %s", error)
            await pool.start([])
        safe = SafeMode(config=config, pool=pool, sockets=sockets, started_at=time.time(), trouble=trouble)
        control = await try_control(config.control_socket, safe_handlers(safe))
        try:
            while not stop.is_set() and (found := await _trouble(config)) is not None:
                safe.trouble = found
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_AGAIN_S)
        finally:
            end_control(control, config.control_socket)
    finally:
        await pool.stop()


async def _trouble(config: AgentConfig) -> Exception | None:
    try:
        await asyncio.to_thread(check_start, config)
    except TROUBLE as error:
        return error
    return None


def good_slots(state_dir: Path) -> Iterator[SlotRef]:
    """Of each model the committed release, if it is whole, else the one before it."""
    for state in _states(state_dir):
        folder = StatePaths(state_dir).model(ModelName.parse(state.model)).folder
        for release in (state.active, state.previous):
            if release is None:
                continue
            try:
                verify_release(folder, release.manifest_sha256)
            except ReleaseBroken as error:
                log.error("%s", error)
                continue
            yield SlotRef(
                model=state.model,
                version=release.version,
                manifest_sha256=release.manifest_sha256,
                directory=str(folder / "releases" / release.manifest_sha256),
            )
            break


def _states(state_dir: Path) -> Sequence[ModelState]:
    """As the database has them, only read; where that fails, as the slots on disk tell."""
    try:
        uri = f"{(state_dir / FILE).as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            states = tuple(Journal(StateDb(connection)).load().values())
    except (sqlite3.Error, LimosaError) as error:
        log.warning("the state database is not read: %s", error)
        states = ()
    return states or tuple(state_from_disk(StatePaths(state_dir).models))
