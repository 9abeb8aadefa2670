"""`limosa server run`: web application, broker, ingest, outbox and controller in one process."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import FrameType
from typing import Final

import uvicorn

from limosa_contracts.errors import LimosaError
from limosa_server.access import audit_heads
from limosa_server.alerts.deliveries import TOPIC as DELIVERIES
from limosa_server.alerts.evaluating import ASKED, Evaluator
from limosa_server.alerts.evaluating import EVERY_S as ALERTS_EVERY_S
from limosa_server.alerts.webhooks import Sender
from limosa_server.app import create_app
from limosa_server.assembly import FolderLock, first_admin, make_controller, make_state
from limosa_server.errors import AlreadyRunning
from limosa_server.fleet import device_commands
from limosa_server.links import broker_address, endpoints_of, listen, make_broker, write_trusted
from limosa_server.mqtt.bus_workers import BusWorkers
from limosa_server.pages.live import STOPPING
from limosa_server.registry.collecting import collect
from limosa_server.retention.rounds import Retention
from limosa_server.settings import ServerSettings
from limosa_server.state import ServerState
from limosa_server.store.claim import Claim
from limosa_server.trust import watch as watch_trust
from limosa_server.trust.live_certificate import LiveCertificate
from limosa_server.trust.revocation_list import ANNOUNCED
from limosa_server.trust.revocations import Revocations
from limosa_server.trust.trust_folder import TrustFolder
from limosa_server.trust.watch import TrustWatch

log = logging.getLogger(__name__)
WAKE_UP: Final = frozenset({"controller", "rollouts"})
TICK_REST_MAX_S: Final = 0.25
HOUSEKEEPING_S: Final = 30.0
COLLECT_AFTER: Final = 10_000  # new objects, before the youngest are looked through; Python's own is 700
RETENTION_EVERY_S: Final = 10.0  # windows of 100,000 devices are merged at 500 a round or more
DELIVERIES_EVERY_S: Final = 5.0  # what is due is sent so late at most; new messages wake it


def run_server(settings: ServerSettings) -> None:
    """Runs until SIGTERM or SIGINT. Raises what keeps it from starting, and AlreadyRunning when another
    server has taken its database over."""
    os.umask(0o077)  # the database and its log too are for this user only
    with ExitStack() as stack:
        lock = FolderLock.take(settings.data)
        stack.callback(lock.release)
        trust = TrustFolder(settings.trust)
        authority = trust.authority()
        listener = listen(settings)
        stack.callback(listener.close)
        broker = make_broker(settings, trust, authority)
        broker.start()
        stack.callback(broker.stop)
        endpoints = endpoints_of(settings, listener.getsockname()[1], broker.port)
        claim = Claim(settings.database, busy_timeout_s=settings.limits.busy_timeout_s)
        claim.hold()
        stack.callback(claim.release)
        state = make_state(settings, endpoints, time.time)
        stack.callback(state.store.close)
        stack.callback(state.deltas.stop)
        if first_admin(state) is not None:
            sys.stderr.write(f"the first admin token is in {settings.data / 'admin.token'}\n")
        address = broker_address(settings, authority, broker)
        workers = BusWorkers(state, address)
        workers.start()
        stack.callback(workers.stop)
        revocations = _revocation_loop(state, Revocations(state, address, broker.reload))
        certificate = LiveCertificate(trust)
        keys = _trust_loop(state, certificate, broker.reload)
        ending = Ending()
        tick, upkeep = _controller_loop(state, claim, ending), _housekeeping_loop(state)
        for loop in (tick, upkeep, revocations, keys, *_lifecycle_loops(state)):
            loop.start()
            stack.callback(loop.stop)
        _spare_collector()
        _serve(settings, state, listener, certificate, ending)
    if ending.error is not None:
        raise ending.error


@dataclass(slots=True)
class Ending:
    """Why the server ends by itself; nothing of it goes on without the rest (server 1)."""

    error: LimosaError | None = None


def _spare_collector() -> None:
    """Reports come and go by the thousand: each round of the collector would look through all that was
    loaded, with every thread waiting for it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


class Loop:
    """Calls `work` every `every_s`, and at once when one of the topics is announced.

    With `rest_max_s` it rests after each piece of work as long as that took, up to so many seconds: reports
    come by the thousand, and one look at five hundred of them costs little more than at one. An idle loop
    has rested long ago, and begins at once.
    """

    def __init__(
        self,
        name: str,
        state: ServerState,
        work: Callable[[], object],
        *,
        every_s: float,
        topics: frozenset[str],
        rest_max_s: float = 0.0,
    ) -> None:
        self._work = work
        self._rest_max_s = rest_max_s
        self._every_s = every_s
        self._topics = topics
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._unsubscribe = state.store.listen(self._announced)
        self._failures = state.metrics.loop_failures.labels(loop=name)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._unsubscribe()
        self._stopping.set()
        self._wake.set()
        self._thread.join(5)

    def _announced(self, topics: frozenset[str]) -> None:
        if topics & self._topics:
            self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            begun = time.monotonic()
            try:
                self._work()
            except Exception:  # recorded; the next round tries again
                log.exception("%s failed", self._thread.name)
                self._failures.inc()
            self._stopping.wait(min(time.monotonic() - begun, self._rest_max_s))
            self._wake.wait(self._every_s)


def _controller_loop(state: ServerState, claim: Claim, ending: Ending) -> Loop:
    controller = make_controller(state)

    def work() -> None:
        try:
            claim.hold()  # whoever lost the database may find that another server has taken over
        except AlreadyRunning as error:
            log.error("this server ends: %s", error)
            ending.error = error
            return
        controller.tick()

    return Loop(
        "controller", state, work, every_s=state.settings.tick_s, topics=WAKE_UP, rest_max_s=TICK_REST_MAX_S
    )


def _housekeeping_loop(state: ServerState) -> Loop:
    def work() -> None:
        now = state.clock()
        state.tuf.republish(now)
        audit_heads.sign_due(state.store, state.trust.key("audit"), epoch=state.trust.epoch(), now=now)
        with state.store.transaction() as tx:
            device_commands.forget(tx, now=now)
        state.blobs.drop_idle_uploads(now=now, idle_s=state.settings.limits.upload_idle_s)

    return Loop("housekeeping", state, work, every_s=HOUSEKEEPING_S, topics=frozenset())


def _lifecycle_loops(state: ServerState) -> tuple[Loop, ...]:
    """Alerts, the messages about them, and what of the registry nothing needs any more."""
    collect_s = state.settings.registry.collect_every_s
    retention = Retention(state.store, state.settings.retention, state.clock)
    return (
        Loop("retention", state, retention.step, every_s=RETENTION_EVERY_S, topics=frozenset()),
        Loop(
            "alerts", state, Evaluator(state).step, every_s=ALERTS_EVERY_S,
            topics=frozenset({ASKED}),
        ),
        Loop(
            "webhooks", state, Sender(state).step, every_s=DELIVERIES_EVERY_S,
            topics=frozenset({DELIVERIES}),
        ),
        Loop(
            "collector", state, lambda: collect(state, dry_run=False, actor="server"), every_s=collect_s,
            topics=frozenset(),
        ),
    )  # fmt: skip


def _revocation_loop(state: ServerState, revocations: Revocations) -> Loop:
    topics = frozenset({ANNOUNCED})
    return Loop("revocations", state, revocations.step, every_s=HOUSEKEEPING_S, topics=topics)


def _trust_loop(state: ServerState, certificate: LiveCertificate, reload_broker: Callable[[], None]) -> Loop:
    def renew_certificates() -> None:
        certificate.reload()
        if not state.settings.dev:
            write_trusted(state.settings, state.authority)
            reload_broker()

    watch = TrustWatch(state, renew_certificates)
    return Loop("trust", state, watch.step, every_s=watch_trust.EVERY_S, topics=frozenset())


class _Announcing(uvicorn.Server):
    """Says on stdout when it answers, in one line of JSON."""

    def __init__(
        self, config: uvicorn.Config, state: ServerState, certificate: LiveCertificate, ending: Ending
    ) -> None:
        super().__init__(config)
        self._ending = ending
        self._certificate = certificate
        endpoints, data = state.endpoints, str(state.settings.data)
        self._tell = state.store.notify
        self._line = {
            "ready": True,
            "url": endpoints.base_url,
            "mqtt": f"{'mqtts' if endpoints.mqtt_tls else 'mqtt'}://{endpoints.mqtt_host}:{endpoints.mqtt_port}",
            "data": data,
        }

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._certificate.attach(self.config.ssl, asyncio.get_running_loop())
        if self.started:
            sys.stdout.write(json.dumps(self._line) + "\n")
            sys.stdout.flush()

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._ending.error is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Pages that follow live would hold their connections open: they are told first."""
        self._tell(frozenset({STOPPING}))
        await super().shutdown(sockets)


def _serve(
    settings: ServerSettings,
    state: ServerState,
    listener: socket.socket,
    certificate: LiveCertificate,
    ending: Ending,
) -> None:
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
    if not settings.plain_http:
        shown, key = state.trust.tls_files()
        config.ssl_certfile, config.ssl_keyfile = str(shown), str(key)
        config.ssl_version = ssl.PROTOCOL_TLS_SERVER
    # uvicorn hands the signal on when it has ended; everything else still has to be stopped then.
    before = {number: signal.signal(number, _heard) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        _Announcing(config, state, certificate, ending).run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heard(number: int, _: FrameType | None) -> None:
    log.info("stopping on signal %d", number)
