"""The supervisor: small, never loads a model; wires the pure parts to the device (agent 1).

One queue of events, one consumer: what the fetch child, the self-test, the pool, the links and the
clock tell is carried out one after the other. `limosa_agent.process` is the process around it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from limosa_agent.capabilities import read_capabilities, resources
from limosa_agent.config import AgentConfig
from limosa_agent.daemon_thread import in_daemon_thread
from limosa_agent.errors import UnknownTransition
from limosa_agent.fetch.errors import ReleaseBroken
from limosa_agent.fetch.paths import StatePaths
from limosa_agent.fetch_child import FetchFailed, run_fetch
from limosa_agent.health.probation import Probation
from limosa_agent.health.watch import TrialWatch
from limosa_agent.identity.identity import Identity
from limosa_agent.installed import installed_version
from limosa_agent.link.desired_inbox import DesiredInbox
from limosa_agent.link.https import HttpsLink, https_context
from limosa_agent.link.outbox import Outbox
from limosa_agent.link.reports import Speaker
from limosa_agent.serving.errors import LoadFailed
from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.pool import ServingPool
from limosa_agent.store.recovery import find_broken, note_start, note_stop, without_broken
from limosa_agent.store.state_db import StateDb
from limosa_agent.telemetry.telemetry import Telemetry
from limosa_agent.update.effects import DeviceEffects, ca_file
from limosa_agent.update.events import (
    Event,
    LateFailure,
    Restarted,
    Wanted,
    WindowClosed,
    WindowOpened,
)
from limosa_agent.update.state import ModelState, Target
from limosa_agent.update.updater import Updater
from limosa_contracts.desired import DesiredModel
from limosa_contracts.errors import LimosaError, TrustError
from limosa_contracts.event import Reason
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.names import ModelName
from limosa_contracts.phases import Phase

log = logging.getLogger(__name__)

TICK_S: Final = 0.5
REPORT_AGAIN_S: Final = 3600.0  # `reported` goes out this often even where nothing changed
FAULT_PAUSE_S: Final = 5.0  # before what failed is taken up again
ALARMS_MAX: Final = 200  # of one start of the agent
BUSY: Final = (Phase.SELF_TESTING, Phase.ACTIVATING, Phase.PROBATION, Phase.FALLING_BACK)
"""Only one model at a time goes through these, so that a crash is laid at the right door."""


class Supervisor:
    """`link_up` tells whether the server can be reached; the links are made by `limosa_agent.process`."""

    def __init__(
        self,
        *,
        config: AgentConfig,
        identity: Identity,
        db: StateDb,
        sockets: Sequence[socket.socket],
        link_up: Callable[[], bool],
    ) -> None:
        self._config = config
        self._identity = identity
        self._db = db
        self._link_up = link_up
        self._queue: asyncio.Queue[tuple[ModelState | None, str, Event]] = asyncio.Queue()
        self._alarms = 0
        self._crashes = 0
        self._last_reported: tuple[bytes, float] = (b"", 0.0)
        self.on_outbox: Callable[[], None] = lambda: None
        boot = f"{db.count_boot()}"
        self._speaker = Speaker(
            device=identity.device,
            agent=installed_version("limosa") or "0.0.0",
            boot=f"{boot}-{db.outbox_session % 2**32:08x}",
            labels=config.labels,
            capabilities=read_capabilities(profile=config.profile),
        )
        self.https = HttpsLink(server=config.server, identity=identity, context=lambda: https_context(config))
        self.outbox = Outbox(db, max_bytes=config.limits.outbox_max_bytes)
        self.telemetry = Telemetry(db, self.outbox, device=identity.device, boot=self._speaker.boot)
        probations: dict[str, Probation] = {}
        self.watch = TrialWatch(
            probations=probations,
            telemetry=self.telemetry,
            post=lambda model, event: self.post(self.updater.state(model), event),
            link_up=link_up,
            time_floor=self.time_floor,
            on_crash=self._tell_crash,
        )
        self.pool = ServingPool(
            sockets=sockets,
            limits=ServingLimits(observe_every_s=config.observe_every_s),
            on_event=self.watch.on_pool,
        )
        self.watch.pool = self.pool
        self.effects = DeviceEffects(config, self.pool, self.telemetry, self, probations=probations)
        self.updater = Updater(
            db,
            self.outbox,
            self.effects,
            encode=lambda report: self._speaker.update(report, at=time.time()),
        )
        self.inbox = DesiredInbox(
            db, device=identity.device, refresh=self._refresh, alarm=self._alarm_refused
        )

    # -- life
    async def start(self) -> None:
        """Serves what is good, then takes up what was begun (agent 3.2)."""
        await self._find_slots()
        too_many = note_start(self._db, now=time.time())
        await self._serve_committed()
        for model in sorted(self.updater.states):
            await self._dispatch(model, Restarted())
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

    async def _follow_up(self) -> None:
        await self._reconcile()
        self.report()
        self.on_outbox()

    async def _carry_out(self, model: str, event: Event) -> None:
        """What fails on the way (a full disk, say) is taken up again later: the same event if it changed
        nothing yet, else where the durable state says that this model is, as after a start."""
        before = self.updater.state(model)
        if not await self._guarded(self._dispatch(model, event)):
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

    async def _find_slots(self) -> None:
        """3.2: what the state names is read again, every byte; 3.0: the link is made from the state."""
        paths = StatePaths(self._config.state_dir)
        for model, state in dict(self.updater.states).items():
            folder = paths.model(ModelName.parse(model)).folder
            broken = await asyncio.to_thread(find_broken, folder, state)
            if broken:
                repaired = without_broken(state, broken)
                self.updater.repair(repaired)
                self.alarm(f"broken:{self._speaker.boot}:{model}", repaired.reason, model=model)
            try:
                self.effects.switch_link(self.updater.state(model))
            except (OSError, ReleaseBroken) as error:
                # The link is for others: what serves is named by its digest.
                log.error("the link of %s was not made again: %s", model, error)

    async def _serve_committed(self) -> None:
        """Every committed version at once; one that does not load gives way to its previous, then to none."""
        states = dict(self.updater.states)
        slots = {
            model: self.effects.slot(model, state.active) for model, state in states.items() if state.active
        }
        try:
            await self.pool.start(list(slots.values()))
            return
        except LoadFailed as error:
            log.error("the committed versions do not load together: %s", error)
        await self.pool.start([])
        for model, state in states.items():
            for release in (state.active, state.previous):
                if release is None:
                    continue
                try:
                    others = list(self.pool.models)
                    await self.pool.switch([*others, self.effects.slot(model, release)], keep_standby=False)
                    break
                except LoadFailed as error:
                    log.error("%s %s does not load: %s", model, release.version, error)

    # -- events
    def post(self, state: ModelState, event: Event) -> None:
        """An event of this attempt; it is dropped if another attempt has begun meanwhile."""
        self._queue.put_nowait((state, state.model, event))

    def _still(self, tag: ModelState, model: str) -> bool:
        """Whether the attempt that the event is of still goes on."""
        then, now = tag.target, self.updater.state(model).target
        return (then.identity if then else None) == (now.identity if now else None)

    async def _dispatch(self, model: str, event: Event) -> None:
        try:
            await self.updater.dispatch(model, event)
        except UnknownTransition as error:
            self.alarm(
                f"transition:{self._speaker.boot}:{model}:{type(event).__name__}",
                Reason(code="unknown_transition", message=str(error)),
                model=model,
            )

    async def receive_desired(self, envelope: bytes) -> None:
        if await self.inbox.receive(envelope):
            await self._reconcile()
            self.report()
            self.on_outbox()

    async def _reconcile(self) -> None:
        """Level-triggered: each model goes from where it is towards what is desired."""
        entries = self.inbox.state.models if self.inbox.state else ()
        others = {entry.model for entry in entries if entry.mode != "shadow"}
        for entry in entries:
            if entry.mode != "shadow" or entry.model not in others:
                await self._want(entry)
        for model in list(self.updater.states):
            await self._let_through(model)

    async def _want(self, entry: DesiredModel) -> None:
        state, target = self.updater.state(entry.model), Target.of(entry)
        if state.target is not None and state.target.identity == target.identity:
            return
        if self.updater.accepts(entry.model, Wanted) and not self.inbox.expired:
            await self._dispatch(entry.model, Wanted(target=target))

    async def _let_through(self, model: str) -> None:
        """From STAGED on, unless an update lock is set; one model at a time."""
        if not self.updater.accepts(model, WindowOpened):
            return
        if self._config.hold_file.exists():
            if self.updater.state(model).phase is Phase.STAGED:
                await self._dispatch(model, WindowClosed())
        elif not any(state.phase in BUSY for state in self.updater.states.values()):
            await self._dispatch(model, WindowOpened())

    async def _tick(self) -> None:
        self.watch.tick()
        desired = self.inbox.state
        trial = any(state.phase is Phase.PROBATION for state in self.updater.states.values())
        every = (
            (desired.report_every_in_probation_s if trial else desired.report_every_s) if desired else 300.0
        )
        self.telemetry.tick(every_s=every, in_probation=trial)

    # -- what the device says
    def report(self) -> None:
        """`reported`, where it says something new."""
        serving = {slot.model: slot.manifest_sha256 for slot in self.pool.models}
        states = [self.updater.states[model] for model in sorted(self.updater.states)]
        plain = self._speaker.reported(
            states,
            desired=self.inbox.order,
            clock=self.watch.clock_state(),
            at=0.0,
            resources={},
            serving=serving,
        )
        if plain == self._last_reported[0] and time.monotonic() - self._last_reported[1] < REPORT_AGAIN_S:
            return
        self.outbox.put_reported(
            self._speaker.reported(
                states,
                desired=self.inbox.order,
                clock=self.watch.clock_state(),
                at=max(0.0, time.time()),
                resources={
                    **resources(self._config.state_dir),
                    "requests_lost": self.watch.requests_lost,
                    "outbox_bytes": self.outbox.bytes,
                },
                serving=serving,
            )
        )
        self._last_reported = (plain, time.monotonic())

    def report_again(self) -> None:
        self._last_reported = (b"", 0.0)

    def alarm(self, key: str, reason: Reason, *, model: str = "") -> None:
        log.warning("%s: %s", reason.code, reason.message)
        self._alarms += 1
        if self._alarms <= ALARMS_MAX:
            state = self.updater.states.get(model)
            self.outbox.put_event(key, self._speaker.alarm(key, state, reason, at=max(0.0, time.time())))

    def _tell_crash(self, model: str, reason: Reason) -> None:
        self._crashes += 1
        self.alarm(f"crash:{self._speaker.boot}:{self._crashes}", reason, model=model)

    def _alarm_refused(self, key: str, error: TrustError) -> None:
        reason = Reason(code=error.code, message=str(error), evidence=dict(error.evidence))
        self.alarm(key, reason)

    # -- what the effects ask for
    async def access_token(self) -> str | None:
        """None where the server does not give one now: the fetch fails then, and is tried again."""
        try:
            return await in_daemon_thread(self.https.access_token)
        except (LimosaError, OSError) as error:
            log.warning("no access token: %s", error)
            return None

    def capabilities(self) -> JsonObject:
        return self._speaker.capabilities

    def time_floor(self) -> float:
        return float(self._db.meta("time_floor") or "0")

    def learned(self, result: JsonObject) -> None:
        """Time floor and director key, as a refresh proved them."""
        fields = Fields(result, where="fetch.result")
        with self._db.transaction("learned"):
            if fields.has("time_floor"):
                floor = max(self.time_floor(), fields.number("time_floor"))
                self._db.set_meta("time_floor", f"{floor:.0f}")
            if fields.has("director_pem"):
                self._db.set_meta("director_pem", fields.text("director_pem"))

    async def _refresh(self) -> str | None:
        """The director's key out of freshly verified metadata (trust 4.2)."""
        request: dict[str, JsonValue] = {
            "op": "refresh",
            "server": self._config.server,
            "state_dir": str(self._config.state_dir),
            "access_token": None,
            "ca_file": ca_file(self._config),
            "time_floor": self.time_floor(),
        }
        outcome = await run_fetch(request, lambda progress: None)
        if isinstance(outcome, FetchFailed):
            log.warning("refresh failed: %s: %s", outcome.code, outcome.message)
            return None
        self.learned(outcome)
        pem = outcome.get("director_pem")
        return pem if isinstance(pem, str) else None
