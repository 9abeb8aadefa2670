"""`limosa server run`: web application, broker, ingest, outbox and controller in one process."""

from __future__ import annotations

import json
import logging
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Final
from urllib.parse import urlsplit

import uvicorn

from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_server.app import create_app
from limosa_server.assembly import FolderLock, first_admin, make_controller, make_state
from limosa_server.broker import BrokerChild, choose
from limosa_server.broker_config import SERVER_NAME, BrokerTls
from limosa_server.bus import BrokerAddress
from limosa_server.bus_workers import BusWorkers
from limosa_server.errors import ListenRefused
from limosa_server.files import write_atomic, write_private
from limosa_server.pki import DeviceAuthority
from limosa_server.settings import ServerSettings
from limosa_server.state import Endpoints, ServerState
from limosa_server.trust_folder import TrustFolder

log = logging.getLogger(__name__)
WAKE_UP: Final = frozenset({"controller", "rollouts"})
HOUSEKEEPING_S: Final = 30.0
CLIENT_CERTIFICATE_S: Final = 365 * 86400.0
ANY_HOST: Final = ("0.0.0.0", "::")  # noqa: S104  # compared with, not listened on
BACKLOG: Final = 1024


def run_server(settings: ServerSettings) -> None:
    """Runs until SIGTERM or SIGINT. Raises what keeps it from starting."""
    with ExitStack() as stack:
        lock = FolderLock.take(settings.data)
        stack.callback(lock.release)
        trust = TrustFolder(settings.trust)
        authority = trust.authority()
        listener = _listen(settings)
        stack.callback(listener.close)
        broker = _broker(settings, trust, authority)
        broker.start()
        stack.callback(broker.stop)
        endpoints = _endpoints(settings, listener.getsockname()[1], broker.port)
        state = make_state(settings, endpoints, time.time)
        stack.callback(state.store.close)
        token = first_admin(state)
        if token is not None:
            sys.stderr.write(f"admin token (also in {settings.data / 'admin.token'}): {token}\n")
        workers = BusWorkers(state, _broker_address(settings, authority, broker))
        workers.start()
        stack.callback(workers.stop)
        for loop in (_controller_loop(state), _housekeeping_loop(state)):
            loop.start()
            stack.callback(loop.stop)
        _serve(settings, trust, state, listener)


class Loop:
    """Calls `work` every `every_s`, and at once when one of the topics is announced."""

    def __init__(
        self,
        name: str,
        state: ServerState,
        work: Callable[[], object],
        *,
        every_s: float,
        topics: frozenset[str],
    ) -> None:
        self._work = work
        self._every_s = every_s
        self._topics = topics
        self._wake = threading.Event()
        self._stopping = False
        self._unsubscribe = state.store.listen(self._announced)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._unsubscribe()
        self._stopping = True
        self._wake.set()
        self._thread.join(5)

    def _announced(self, topics: frozenset[str]) -> None:
        if topics & self._topics:
            self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                self._work()
            except Exception:  # recorded; the next round tries again
                log.exception("%s failed", self._thread.name)
            self._wake.wait(self._every_s)


def _controller_loop(state: ServerState) -> Loop:
    controller = make_controller(state)
    return Loop("controller", state, controller.tick, every_s=state.settings.tick_s, topics=WAKE_UP)


def _housekeeping_loop(state: ServerState) -> Loop:
    def work() -> None:
        now = state.clock()
        state.tuf.republish(now)
        state.blobs.drop_idle_uploads(now=now, idle_s=state.settings.limits.upload_idle_s)

    return Loop("housekeeping", state, work, every_s=HOUSEKEEPING_S, topics=frozenset())


class _Announcing(uvicorn.Server):
    """Says on stdout when it answers, in one line of JSON."""

    def __init__(self, config: uvicorn.Config, endpoints: Endpoints, data: str) -> None:
        super().__init__(config)
        self._line = {
            "ready": True,
            "url": endpoints.base_url,
            "mqtt": f"{'mqtts' if endpoints.mqtt_tls else 'mqtt'}://{endpoints.mqtt_host}:{endpoints.mqtt_port}",
            "data": data,
        }

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            sys.stdout.write(json.dumps(self._line) + "\n")
            sys.stdout.flush()


def _serve(settings: ServerSettings, trust: TrustFolder, state: ServerState, listener: socket.socket) -> None:
    config = uvicorn.Config(
        create_app(state),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(settings.limits.shutdown_s),
        server_header=False,
        date_header=True,
        lifespan="off",
        h11_max_incomplete_event_size=32 * 1024,
    )
    if not settings.dev:
        certificate, key = trust.tls_files()
        config.ssl_certfile, config.ssl_keyfile = str(certificate), str(key)
        config.ssl_version = ssl.PROTOCOL_TLS_SERVER
    # uvicorn hands the signal on when it has ended; everything else still has to be stopped then.
    before = {number: signal.signal(number, _heard) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        _Announcing(config, state.endpoints, str(settings.data)).run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heard(number: int, _: FrameType | None) -> None:
    log.info("stopping on signal %d", number)


def _listen(settings: ServerSettings) -> socket.socket:
    """Raises ListenRefused."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise ListenRefused(
            f"cannot listen on {settings.host}:{settings.port}",
            where="--listen",
            why=error.strerror or str(error),
            hint="name another port, or 0 for a free one",
        ) from error
    listener.listen(BACKLOG)
    return listener


def _broker(settings: ServerSettings, trust: TrustFolder, authority: DeviceAuthority) -> BrokerChild:
    kind = choose(settings.broker, dev=settings.dev)
    tls = None
    if not settings.dev:
        certificate, key = trust.tls_files()
        tls = BrokerTls(ca=_trusted(settings, authority), certificate=certificate, key=key)
    return BrokerChild(
        kind,
        settings.broker_folder,
        host=settings.host,
        port=settings.mqtt_port,
        limits=settings.limits,
        tls=tls,
    )


def _trusted(settings: ServerSettings, authority: DeviceAuthority) -> Path:
    """One file with the root and the intermediate, for broker and client."""
    settings.broker_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = settings.broker_folder / "ca.crt"
    write_atomic(path, (authority.root_pem + authority.intermediate_pem).encode())
    return path


def _broker_address(
    settings: ServerSettings, authority: DeviceAuthority, broker: BrokerChild
) -> BrokerAddress:
    """How the server itself reaches the broker: as a client with a certificate of its own."""
    host = "127.0.0.1" if settings.host in ANY_HOST else settings.host
    if settings.dev:
        return BrokerAddress(host=host, port=broker.port)
    key = SigningKey.generate(Algorithm.P256)
    issued = authority.issue(key.public, device=SERVER_NAME, now=time.time(), lifetime_s=CLIENT_CERTIFICATE_S)
    tls = BrokerTls(
        ca=_trusted(settings, authority),
        certificate=settings.broker_folder / "server-client.crt",
        key=settings.broker_folder / "server-client.pem",
    )
    write_private(tls.key, key.pem())
    write_atomic(tls.certificate, issued.chain_pem.encode())
    return BrokerAddress(host=host, port=broker.port, tls=tls)


def _endpoints(settings: ServerSettings, port: int, mqtt_port: int) -> Endpoints:
    """What devices are told."""
    host = socket.gethostname() if settings.host in ANY_HOST else settings.host
    shown = f"[{host}]" if ":" in host else host
    base_url = settings.public_url or f"{'http' if settings.dev else 'https'}://{shown}:{port}"
    return Endpoints(
        base_url=base_url,
        mqtt_host=urlsplit(settings.public_url).hostname or host,
        mqtt_port=mqtt_port,
        mqtt_tls=not settings.dev,
    )
