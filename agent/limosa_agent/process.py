"""The agent's process: one per state folder, ready line, signals. Imports neither click, numpy nor tuf."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import json
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from limosa_agent.agent import Agent
from limosa_agent.config import AgentConfig
from limosa_agent.errors import AgentRunsAlready
from limosa_agent.identity.identity import load_identity, recover_identity
from limosa_agent.listening import listen_address, open_sockets
from limosa_agent.logs.handlers import begin_log
from limosa_agent.safe_mode import TROUBLE, check_start, has_releases, serve_until_whole
from limosa_agent.service.notify import from_systemd
from limosa_agent.service.watchdog import Watchdog
from limosa_agent.store.opening import open_state
from limosa_contracts.errors import LimosaError
from limosa_contracts.event import Reason
from limosa_contracts.json_value import JsonValue

log = logging.getLogger(__name__)


@contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Raises AgentRunsAlready. The kernel ends the lock with the process."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(state_dir / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AgentRunsAlready("an agent runs with this state folder", where=str(state_dir)) from error
        yield
    finally:
        os.close(descriptor)


async def run_agent(config: AgentConfig, config_path: Path) -> None:
    """Serves until SIGTERM or SIGINT. Raises NotEnrolled, ListenRefused, StateTooNew, InsecureLink."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watchdog = Watchdog(from_systemd())
    beating = asyncio.create_task(watchdog.run(), name="watchdog")
    recover_identity(config.identity_dir)
    sockets = open_sockets(config)
    try:
        await _wait_until_whole(config, sockets, stop, watchdog)
        if not stop.is_set():
            await _run_whole(config, config_path, sockets, stop, watchdog)
    finally:
        beating.cancel()
        for one in sockets:
            one.close()


async def _wait_until_whole(
    config: AgentConfig, sockets: Sequence[socket.socket], stop: asyncio.Event, watchdog: Watchdog
) -> None:
    """Returns when the agent can be started whole; what is good is served meanwhile."""
    try:
        check_start(config)
    except TROUBLE as error:
        if not has_releases(config.state_dir):
            raise
        log.error("only what is good is served for now: %s", error)
        say_ready(config, sockets, device="")
        watchdog.ready()
        await serve_until_whole(config, sockets, stop, trouble=error)


async def _run_whole(
    config: AgentConfig,
    config_path: Path,
    sockets: Sequence[socket.socket],
    stop: asyncio.Event,
    watchdog: Watchdog,
) -> None:
    identity = load_identity(config.identity_dir)
    db, corrupt = open_state(config)
    try:
        agent = Agent(config, identity, db, config_path=config_path, sockets=sockets)
        if corrupt is not None:
            reason = Reason(code="journal_corrupt", message=str(corrupt))
            agent.supervisor.said.alarm(f"journal:{db.outbox_session}", reason)
        watchdog.turn_s, watchdog.status = agent.supervisor.turn_s, agent.view.in_a_line

        def ready() -> None:
            say_ready(config, sockets, device=identity.device)
            watchdog.ready()

        await agent.run(stop, ready=ready)
    finally:
        db.close()


def say_ready(config: AgentConfig, sockets: Sequence[socket.socket], *, device: str) -> None:
    """One line of JSON on stdout; `device` is "" while only what is good is served."""
    ready: dict[str, JsonValue] = {
        "ready": True,
        "device": device,
        "listen": listen_address(sockets),
        "socket": str(config.socket) if config.socket else "",
        "control": str(config.control_socket),
        "pid": os.getpid(),
    }
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()


def forget_toml() -> None:
    """The configuration is read once: its parser and what it compiled are 0.5 MB of the supervisor's
    40 (agent 1). Who reads TOML later imports it again."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tomllib"]:
        del sys.modules[name]
    re.purge()
    gc.collect()


def main(config_path: Path) -> int:
    """Errors as one JSON line on stderr; their exit code is ours."""
    try:
        config = AgentConfig.load(config_path)
        forget_toml()
        with only_one(config.state_dir), begin_log(config):
            try:
                asyncio.run(run_agent(config, config_path))
            except LimosaError as error:
                log.error("the agent ends: %s: %s", error.code, error)
                raise
            except Exception:
                log.exception("the agent ends by a fault of its own")
                raise
    except LimosaError as error:
        sys.stderr.write(json.dumps({"error": error.as_json()}) + "\n")
        return error.exit_code
    return 0
