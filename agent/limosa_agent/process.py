"""One run of the agent: supervisor, links and control socket. Imports neither click, numpy nor tuf."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import random
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from limosa_agent.config import AgentConfig
from limosa_agent.control_socket import Handler, serve_control
from limosa_agent.daemon_thread import in_daemon_thread
from limosa_agent.errors import AgentRunsAlready, JournalCorrupt
from limosa_agent.fetch.paths import StatePaths
from limosa_agent.identity.identity import Identity, load_identity, recover_identity
from limosa_agent.link.mqtt import MqttCallbacks, MqttLink
from limosa_agent.link.uplink import Uplink
from limosa_agent.listening import listen_address, open_sockets
from limosa_agent.safe_mode import TROUBLE, check_start, has_releases, serve_until_whole
from limosa_agent.status_view import slots_view, status_view
from limosa_agent.store.journal import Journal
from limosa_agent.store.recovery import state_from_disk
from limosa_agent.store.state_db import StateDb, set_aside
from limosa_agent.supervisor import Supervisor
from limosa_contracts.canonical import parse_object
from limosa_contracts.errors import LimosaError
from limosa_contracts.event import Reason
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.report_message import Ack
from limosa_contracts.topics import Suffix

log = logging.getLogger(__name__)

HTTPS_WHILE_DOWN_S: Final = 10.0  # MQTT is down: desired and reports go over HTTPS this often (jittered)
HTTPS_MAX_S: Final = 300.0  # the same, when HTTPS does not answer either
RENEW_FIRST_S: Final = 60.0  # after the start, jittered
RENEW_AGAIN_S: Final = 3600.0  # after a try that failed
RENEW_MAX_S: Final = 120.0
SESSION_STEP: Final = 1 << 20  # connections of one start of the agent
AGAIN_S: Final = 5.0  # before a desired state is looked at again that could not be stored
INCOMING_MAX: Final = 64  # messages of the broker that wait; above, the oldest is dropped


class Agent:
    """One run of the agent: supervisor, links, control socket."""

    def __init__(
        self,
        config: AgentConfig,
        identity: Identity,
        db: StateDb,
        *,
        config_path: Path,
        sockets: Sequence[socket.socket],
    ) -> None:
        self._config = config
        self._config_path = config_path
        self._identity = identity
        self._db = db
        self._loop = asyncio.get_running_loop()
        self._connections = 0
        self._heard_s = time.monotonic()
        self._etag = ""
        # Desired states are retained and acknowledgements cumulative: the newest are worth keeping.
        self._incoming: deque[tuple[Suffix, bytes]] = deque(maxlen=INCOMING_MAX)
        self._arrived = asyncio.Event()
        self.sockets = sockets
        self.supervisor = Supervisor(
            config=config, identity=identity, db=db, sockets=self.sockets, link_up=lambda: self.mqtt.up
        )
        boots = int(db.meta("boots") or "1")
        self.mqtt = MqttLink(
            config=config,
            identity=identity,
            callbacks=MqttCallbacks(
                connected=lambda: self._call(self._connected),
                lost=lambda why: self._call(lambda: log.warning("mqtt lost: %s", why)),
                message=self._take,
            ),
            status_session=lambda: self._next_session(boots),
        )
        self.uplink = Uplink(
            self.supervisor.outbox,
            device=identity.device,
            key=identity.key,
            publish=self.mqtt.publish,
            ack_timeout_s=config.ack_timeout_s,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; raises what a part of it raised."""
        await self.supervisor.start()
        control = await self._open_control()
        self.supervisor.on_outbox = self._pump
        self.mqtt.start()
        say_ready(self._config, self.sockets, device=self._identity.device)
        parts = [
            asyncio.create_task(self.supervisor.run(), name="supervisor"),
            asyncio.create_task(self._receive(), name="receive"),
            asyncio.create_task(self._https(), name="https"),
            asyncio.create_task(self._renewals(), name="renewals"),
        ]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([*parts, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*parts, stopping):
                task.cancel()
            await asyncio.gather(*parts, stopping, return_exceptions=True)
            if control is not None:
                control.close()
            await self.supervisor.stop()
            await asyncio.to_thread(self.mqtt.stop)
            self._config.control_socket.unlink(missing_ok=True)

    # -- links
    def _call(self, function: object) -> None:
        """From the link's thread onto the loop."""
        assert callable(function)
        with suppress(RuntimeError):  # the loop has closed: the agent is stopping
            self._loop.call_soon_threadsafe(function)

    def _take(self, suffix: Suffix, payload: bytes) -> None:
        """In the link's thread."""
        self._incoming.append((suffix, payload))
        self._call(self._arrived.set)

    def _next_session(self, boots: int) -> int:
        self._connections += 1
        return boots * SESSION_STEP + self._connections

    def _connected(self) -> None:
        self._heard_s = time.monotonic()
        log.info("mqtt connected")
        self.uplink.connected()

    def _pump(self) -> None:
        if self.mqtt.up:
            self.uplink.pump()

    async def _receive(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._incoming:
                suffix, payload = self._incoming.popleft()
                self._heard_s = time.monotonic()
                try:
                    await self._obey(suffix, payload)
                except LimosaError as error:
                    log.warning("a message on %s is refused: %s", suffix.value, error)
                except Exception:
                    # A full disk, say. An acknowledgement comes again, what is retained does not.
                    log.exception("a message on %s was not worked off", suffix.value)
                    if suffix is Suffix.DESIRED:
                        self._loop.call_later(AGAIN_S, self._take, suffix, payload)

    async def _obey(self, suffix: Suffix, payload: bytes) -> None:
        if suffix is Suffix.ACK:
            self.uplink.acknowledged(Ack.parse(payload))
        elif suffix is Suffix.DESIRED and payload:
            await self.supervisor.receive_desired(payload)
        elif suffix is Suffix.CMD:
            self.supervisor.report_again()

    async def _https(self) -> None:
        """4.4: MQTT is a hint. While it is down, or silent for long, the same goes over HTTPS."""
        pause_s = HTTPS_WHILE_DOWN_S
        while True:
            await asyncio.sleep(min(pause_s, self._config.poll_interval_s) * random.uniform(0.5, 1.5))  # noqa: S311  jitter, no secret
            silent = time.monotonic() - self._heard_s >= self._config.poll_interval_s
            if self.mqtt.up and not silent:
                self.supervisor.https.rest()
                pause_s = HTTPS_WHILE_DOWN_S
                continue
            try:
                await self._exchange()
                self._heard_s = time.monotonic() if self.mqtt.up else self._heard_s
                pause_s = HTTPS_WHILE_DOWN_S
            except LimosaError as error:
                log.info("https: %s", error)
                pause_s = min(2 * pause_s, HTTPS_MAX_S)
            except Exception:
                log.exception("an exchange over https failed")
                pause_s = min(2 * pause_s, HTTPS_MAX_S)

    async def _exchange(self) -> None:
        https = self.supervisor.https
        while not self.mqtt.up and (batch := self.uplink.batch()):
            before = self.supervisor.outbox.rows
            self.uplink.took(await in_daemon_thread(https.reports, batch))
            if self.supervisor.outbox.rows >= before:
                break
        envelope, tag = await in_daemon_thread(https.desired, self._etag)
        if envelope is not None:
            self._etag = ""  # what is not settled, for want of a key or of disk, is to come again
            await self.supervisor.receive_desired(envelope)
            self._etag = tag if self.supervisor.inbox.settled else ""

    async def _renewals(self) -> None:
        """A new key and certificate when a third of the old one's life remains (trust 6.2)."""
        pause_s = RENEW_FIRST_S
        while True:
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  jitter, no secret
            try:
                again = await self._renew()
            except Exception:
                log.exception("the certificate was not renewed")
                again = None
            pause_s = float(again) if isinstance(again, (int, float)) else RENEW_AGAIN_S

    async def _renew(self) -> JsonValue:
        """When it is worth looking again, in seconds."""
        said = await self._renew_child()
        if said.get("renewed") is True:
            identity = load_identity(self._config.identity_dir)
            self.supervisor.https.adopt(identity)
            self.uplink.adopt(identity.key)
            log.info("the certificate is renewed")
        return said.get("again_s")

    async def _renew_child(self) -> JsonObject:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
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

    # -- people
    async def _open_control(self) -> asyncio.Server | None:
        """None where it cannot be had: its path is too long, or the disk is full. Serving needs none."""
        try:
            return await serve_control(self._config.control_socket, self._handlers())
        except OSError as error:
            log.error("there is no control socket %s: %s", self._config.control_socket, error)
            return None

    def _handlers(self) -> dict[str, Handler]:
        async def status(request: JsonObject) -> dict[str, JsonValue]:
            return status_view(
                self.supervisor,
                device=self._identity.device,
                listen=listen_address(self.sockets),
                mqtt_up=self.mqtt.up,
            )

        async def slots(request: JsonObject) -> dict[str, JsonValue]:
            return slots_view(self.supervisor)

        return {"status": status, "slots": slots}


def open_state(config: AgentConfig) -> tuple[StateDb, JournalCorrupt | None]:
    """The database; a corrupt one is set aside, and what is on disk serves (agent 2)."""
    try:
        db = StateDb.open(config.state_dir)
    except JournalCorrupt as error:
        set_aside(config.state_dir)
        return _made_again(config, StateDb.open(config.state_dir)), error
    try:
        known = Journal(db).load()
    except JournalCorrupt as error:
        db.close()
        set_aside(config.state_dir)
        return _made_again(config, StateDb.open(config.state_dir)), error
    if not known and any(StatePaths(config.state_dir).models.glob("*/*/current")):
        lost = JournalCorrupt("the state database was lost", where=str(config.state_dir))
        return _made_again(config, db), lost
    return db, None


def _made_again(config: AgentConfig, db: StateDb) -> StateDb:
    journal = Journal(db)
    with db.transaction("made again") as connection:
        for state in state_from_disk(StatePaths(config.state_dir).models):
            journal.save(state, connection=connection)
    return db


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
    recover_identity(config.identity_dir)
    sockets = open_sockets(config)
    try:
        await _wait_until_whole(config, sockets, stop)
        if not stop.is_set():
            await _run_whole(config, config_path, sockets, stop)
    finally:
        for one in sockets:
            one.close()


async def _wait_until_whole(
    config: AgentConfig, sockets: Sequence[socket.socket], stop: asyncio.Event
) -> None:
    """Returns when the agent can be started whole; what is good is served meanwhile."""
    try:
        check_start(config)
    except TROUBLE as error:
        if not has_releases(config.state_dir):
            raise
        log.error("only what is good is served for now: %s", error)
        say_ready(config, sockets, device="")
        await serve_until_whole(config, sockets, stop)


async def _run_whole(
    config: AgentConfig, config_path: Path, sockets: Sequence[socket.socket], stop: asyncio.Event
) -> None:
    identity = load_identity(config.identity_dir)
    db, corrupt = open_state(config)
    try:
        agent = Agent(config, identity, db, config_path=config_path, sockets=sockets)
        if corrupt is not None:
            reason = Reason(code="journal_corrupt", message=str(corrupt))
            agent.supervisor.alarm(f"journal:{db.outbox_session}", reason)
        await agent.run(stop)
    finally:
        db.close()


def say_ready(config: AgentConfig, sockets: Sequence[socket.socket], *, device: str) -> None:
    """One line of JSON on stdout; `device` is "" while only what is good is served."""
    ready: dict[str, JsonValue] = {
        "ready": True,
        "device": device,
        "listen": listen_address(sockets),
        "socket": str(config.socket) if config.socket else "",
        "control": str(config.control_socket) if device else "",
        "pid": os.getpid(),
    }
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()


def main(config_path: Path) -> int:
    """Errors as one JSON line on stderr; their exit code is ours."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        config = AgentConfig.load(config_path)
        with only_one(config.state_dir):
            asyncio.run(run_agent(config, config_path))
    except LimosaError as error:
        sys.stderr.write(json.dumps({"error": error.as_json()}) + "\n")
        return error.exit_code
    return 0
