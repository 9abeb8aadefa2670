"""The supervisor: small, never loads a model; wires the pure parts to the device (agent 1).

One queue of events, one consumer: what the fetch child, the self-test, the pool, the links and the
clock tell is carried out one after the other. `limosa_agent.agent` has the links around it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from limosa_agent.capabilities import read_capabilities
from limosa_agent.config import AgentConfig
from limosa_agent.errors import UnknownTransition
from limosa_agent.fetch.mirror_use import MirrorUse
from limosa_agent.fetch.paths import StatePaths
from limosa_agent.fetch_child import FetchFailed
from limosa_agent.fetch_facts import FetchFacts
from limosa_agent.health.committed import CommittedWatch
from limosa_agent.health.probation import Probation
from limosa_agent.health.probes import Probes
from limosa_agent.health.watch import TrialWatch
from limosa_agent.identity.identity import Identity
from limosa_agent.installed import installed_version
from limosa_agent.link.desired_inbox import DesiredInbox
from limosa_agent.link.https import HttpsLink, https_context
from limosa_agent.link.outbox import Outbox
from limosa_agent.link.reports import Speaker
from limosa_agent.link.said import Said
from limosa_agent.logs.about import about
from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.pool import ServingPool
from limosa_agent.serving.slot_ref import ShadowCrashed
from limosa_agent.store.boot import find_slots, serve_committed
from limosa_agent.store.byte_budget import ByteBudget
from limosa_agent.store.starts import Start, note_lived, note_start, note_stop
from limosa_agent.store.state_db import StateDb
from limosa_agent.telemetry.release_shapes import ReleaseShapes
from limosa_agent.telemetry.telemetry import Telemetry
from limosa_agent.update.actions import Report
from limosa_agent.update.effects import DeviceEffects
from limosa_agent.update.events import Event, LateFailure, Restarted, Wanted
from limosa_agent.update.gatekeeper import Gatekeeper
from limosa_agent.update.reconcile import Reconciler
from limosa_agent.update.shadow_crash import blame
from limosa_agent.update.state import SHADOW_MARK, ModelState
from limosa_agent.update.updater import Updater
from limosa_contracts.event import Reason
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.phases import Phase

log = logging.getLogger(__name__)

TICK_S: Final = 0.5
FAULT_PAUSE_S: Final = 5.0  # before what failed is taken up again
REPORT_EVERY_S: Final = 300.0  # windows of telemetry, until a desired state says how often


class Supervisor:
    """`link_up` tells whether the server can be reached; the links are made by `limosa_agent.agent`."""

    def __init__(
        self,
        *,
        config: AgentConfig,
        identity: Identity,
        db: StateDb,
        sockets: Sequence[socket.socket],
        link_up: Callable[[], bool],
    ) -> None:
        self._db = db
        self._queue: asyncio.Queue[tuple[ModelState | None, str, Event]] = asyncio.Queue()
        self.on_outbox: Callable[[], None] = lambda: None
        self._state_dir = config.state_dir
        self._began_s = self._turn_began_s = time.monotonic()
        self._young = True  # whether how long this start has lived is still to be noted
        self._make_voice(config, identity, db)
        self._make_serving(config, sockets, link_up)
        self._make_update(config, identity, db)

    def _make_voice(self, config: AgentConfig, identity: Identity, db: StateDb) -> None:
        boot = f"{db.count_boot()}"
        self._speaker = Speaker(
            device=identity.device,
            agent=installed_version("limosa") or "0.0.0",
            boot=f"{boot}-{db.outbox_session % 2**32:08x}",
            labels=config.labels,
            capabilities=read_capabilities(profile=config.profile, accelerators=config.serving.accelerators),
        )
        self.https = HttpsLink(
            server=config.server,
            identity=identity,
            context=lambda: https_context(config),
            proxy=config.proxy,
        )
        self.outbox = Outbox(db, max_bytes=config.limits.outbox_max_bytes)
        self.telemetry = Telemetry(db, self.outbox, device=identity.device, boot=self._speaker.boot)
        self.facts = FetchFacts(config, db)
        self.mirror = MirrorUse(config.mirror, device=identity.device, request=self.facts.source, around=self)
        self.said = Said(
            config=config,
            speaker=self._speaker,
            outbox=self.outbox,
            states=lambda: self.updater.states,
            shadows=lambda: self.updater.shadows,
            held=lambda: self.gatekeeper.told(),
        )

    def _make_serving(
        self, config: AgentConfig, sockets: Sequence[socket.socket], link_up: Callable[[], bool]
    ) -> None:
        self._probations: dict[str, Probation] = {}
        self.watch = TrialWatch(
            probations=self._probations,
            telemetry=self.telemetry,
            shapes=ReleaseShapes(StatePaths(config.state_dir)),
            post=lambda model, event: self.post(self.updater.state(model), event),
            link_up=link_up,
            time_floor=self.facts.time_floor,
            on_crash=self.said.crash,
            committed=CommittedWatch(
                limits=config.health,
                memory_max_bytes=config.limits.worker_memory_max_bytes,
                may_fail=self._may_fall_back,
                fail=lambda model, reason: self.post(self.updater.state(model), LateFailure(reason=reason)),
                alarm=self.said.crash,
            ),
            probes=Probes(config.probes),
        )
        self.pool = ServingPool(
            sockets=sockets,
            limits=config.inference.over(
                ServingLimits(
                    observe_every_s=config.observe_every_s,
                    hang_s=config.health.hang_s,
                    run_max_s=config.health.run_max_s,
                    threads=config.serving.threads,
                    standby_reserve_bytes=config.serving.standby_reserve_bytes,
                    shadow_memory_max_bytes=config.serving.shadow_memory_bytes,
                )
            ),
            options=config.serving.options,
            on_event=self.watch.on_pool,
        )
        self.watch.pool = self.pool
        self.watch.on_shadow_crash = self._shadow_crashed

    def _make_update(self, config: AgentConfig, identity: Identity, db: StateDb) -> None:
        self.gatekeeper = Gatekeeper(
            db,
            state_dir=config.state_dir,
            lock_dir=config.lock_dir,
            time_floor=self.facts.time_floor,
            removable=config.update.removable,
        )
        self.effects = DeviceEffects(
            config,
            self.pool,
            self.telemetry,
            self,
            gatekeeper=self.gatekeeper,
            budget=ByteBudget(db, per_day=config.limits.download_bytes_per_day),
            probations=self._probations,
        )
        self.updater = Updater(db, self.outbox, self.effects, encode=self._tell_phase)
        self.inbox = DesiredInbox(
            db, device=identity.device, refresh=self.facts.refresh, alarm=self.said.refused
        )
        self.effects.lanes = self.updater
        self._reconciler = Reconciler(
            gatekeeper=self.gatekeeper,
            facts=self.effects.fetching.facts,
            quarantine_s=config.update.quarantine_s,
            updater=self.updater,
            inbox=self.inbox,
            dispatch=self._dispatch,
            may_begin=self.outbox.may_begin,
        )

    # -- life
    async def start(self) -> None:
        """Serves what is good, then takes up what was begun (agent 3.2)."""
        await find_slots(self._state_dir, self.updater, self.effects, broken=self._tell_broken)
        too_many = note_start(self._db, now=Start.now(time_floor=self.time_floor()))
        await serve_committed(self.pool, dict(self.updater.states), self.effects)
        await self.effects.run_shadows()
        for state in self.updater.lanes:
            await self._dispatch(state.key, Restarted())
        if too_many:
            reason = Reason(code="crash_loop", message="the agent started too often in a short time")
            for model in sorted(self.updater.states):
                if self.updater.accepts(model, LateFailure):
                    await self._dispatch(model, LateFailure(reason=reason))
        self.report()

    async def run(self) -> None:
        """Until cancelled: events, and a tick where there are none."""
        next_tick = time.monotonic()
        while True:
            self._turn_began_s = time.monotonic()
            wait_s = max(0.0, next_tick - time.monotonic())
            try:
                tag, model, event = await asyncio.wait_for(self._queue.get(), wait_s)
            except TimeoutError:
                next_tick = time.monotonic() + TICK_S
                await self._guarded(self._tick())
            else:
                if tag is None or self._still(tag, model):
                    await self._carry_out(model, event)
            await self._guarded(self._follow_up())

    def turn_s(self) -> float:
        """How long the present turn has taken by now; the watchdog looks at it."""
        return time.monotonic() - self._turn_began_s

    async def _follow_up(self) -> None:
        await self._reconciler.run()
        self.report()
        self.on_outbox()

    async def _carry_out(self, model: str, event: Event) -> None:
        """What fails on the way (a full disk, say) is taken up again later: the same event if it changed
        nothing yet, else where the durable state says that this model is, as after a start."""
        before = self.updater.state(model)
        with about(model, before.target.rollout if before.target else ""):
            done = await self._guarded(self._dispatch(model, event))
        if not done:
            unchanged = self.updater.state(model) == before
            again = (before, model, event) if unchanged else (None, model, Restarted())
            asyncio.get_running_loop().call_later(FAULT_PAUSE_S, self._queue.put_nowait, again)

    async def _guarded(self, work: Awaitable[None]) -> bool:
        """Whether it succeeded. Whatever fails in one turn, the next one comes: serving goes on."""
        try:
            await work
        except Exception:
            log.exception("a turn of the supervisor failed")
            return False
        return True

    async def stop(self) -> None:
        self.telemetry.flush()
        await self.watch.close()
        await self.effects.close()
        await self.pool.stop()
        note_stop(self._db)

    # -- events
    def post(self, state: ModelState, event: Event) -> None:
        """An event of this attempt; it is dropped if another attempt has begun meanwhile."""
        self._queue.put_nowait((state, state.key, event))

    def _may_fall_back(self, model: str) -> bool:
        return self.updater.accepts(model, LateFailure) and self.updater.state(model).previous is not None

    def _shadow_crashed(self, event: ShadowCrashed) -> None:
        """The lanes that it may be laid to; the others run again once these are out."""
        for model, reason in blame(event):
            lane = self.updater.state(model + SHADOW_MARK)
            if self.updater.accepts(lane.key, LateFailure):
                self.post(lane, LateFailure(reason=reason))

    def _still(self, tag: ModelState, model: str) -> bool:
        """Whether the attempt that the event is of still goes on."""
        then, now = tag.target, self.updater.state(model).target
        return (then.identity if then else None) == (now.identity if now else None)

    async def _dispatch(self, model: str, event: Event) -> None:
        target = event.target if isinstance(event, Wanted) else self.updater.state(model).target
        try:
            with about(model, target.rollout if target else ""):
                await self.updater.dispatch(model, event)
        except UnknownTransition as error:
            self.said.alarm(
                f"transition:{self._speaker.boot}:{model}:{type(event).__name__}",
                Reason(code="unknown_transition", message=str(error)),
                model=model,
            )

    async def receive_desired(self, envelope: bytes) -> None:
        if await self.inbox.receive(envelope):
            await self._reconciler.run()
            self.report()
            self.on_outbox()

    async def _tick(self) -> None:
        self.watch.tick()
        if self._young:
            self._young = note_lived(self._db, lived_s=time.monotonic() - self._began_s)
        desired = self.inbox.state
        trial = any(state.phase is Phase.PROBATION for state in self.updater.states.values())
        every = REPORT_EVERY_S
        if desired is not None:
            every = desired.report_every_in_probation_s if trial else desired.report_every_s
        self.telemetry.tick(every_s=every, in_probation=trial)

    # -- what the device says
    def report(self) -> None:
        """`reported`, where it says something new."""
        self.said.report(pool=self.pool, inbox=self.inbox, watch=self.watch)

    def _tell_phase(self, report: Report) -> bytes:
        why = f": {report.reason.code}: {report.reason.message}" if report.reason.code else ""
        bad = report.phase in (Phase.REJECTED, Phase.FALLING_BACK, Phase.FELL_BACK)
        level = logging.WARNING if bad else logging.INFO
        log.log(level, "%s is %s%s", report.version, report.phase.value, why)
        return self._speaker.update(report, at=time.time())

    def _tell_broken(self, state: ModelState) -> None:
        self.said.alarm(f"broken:{self._speaker.boot}:{state.model}", state.reason, model=state.model)

    # -- what the effects ask for
    def fetch_source(self) -> dict[str, JsonValue]:
        return self.facts.source(self.mirror.folder)

    def fetch_failed(self, failed: FetchFailed) -> None:
        """A mirror that gives no release gives way to the server; a verdict on a release stays one."""
        if failed.kind == "transfer":
            self.mirror.forget(failed.message)

    def order(self) -> tuple[int, int]:
        return self.inbox.order

    def source_changed(self) -> None:
        self.effects.fetching.again()

    def capabilities(self) -> JsonObject:
        return self._speaker.capabilities

    def time_floor(self) -> float:
        return self.facts.time_floor()

    def learned(self, result: JsonObject) -> None:
        self.facts.learned(result)
