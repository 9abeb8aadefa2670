"""A small world in memory for the pure core: devices that succeed, fail, hang and vanish; a clock."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from limosa_contracts.phases import Execution, Phase
from limosa_contracts.reported import Installed, ReportedModel
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core import tally
from limosa_server.core.advance import advance
from limosa_server.core.approval import Vote
from limosa_server.core.counts import Counts
from limosa_server.core.execution import RANK, DeviceExecution, Return, on_phase, on_reported, on_way_back
from limosa_server.core.facts import DeviceFacts, Facts, GoBack, Offer, Outcome, Promote, TakeOver
from limosa_server.core.judging.judge import Decision
from limosa_server.core.planning.waves_plan import divide
from limosa_server.core.retrying import Condition, again
from limosa_server.core.rollout import Rollout, RolloutStatus
from limosa_server.core.wave import Wave, WaveStatus

MODEL = "demo/motion"
GOOD, REJECTS, FALLS_BACK, HANGS, LATE = "good", "rejects", "falls back", "hangs", "falls back late"


def index_of(version: str) -> str:
    return hashlib.sha256(version.encode()).hexdigest() if version else ""


def spec_of(**fields: object) -> RolloutSpec:
    return RolloutSpec.parse({"release": f"{MODEL}@2.0.0", "group": "all", **fields})  # type: ignore[dict-item]  # tests write plain literals


def installed(version: str) -> Installed | None:
    if not version:
        return None
    return Installed(version=version, index_sha256=index_of(version), manifest_sha256=index_of(version))


@dataclass(slots=True)
class Device:
    name: str
    behaviour: str = GOOD
    online: bool = True
    last_seen: float = 0.0
    running: str = "1.0.0"
    phase: Phase = Phase.IDLE
    wanted: tuple[str, int] = ("", 0)  # version, attempt
    document: int = 0
    accepted: int = 0
    steps: list[Phase] = field(default_factory=list)
    attempt: int = 1
    trying: str = ""
    disk_free_bytes: int = 1 << 30
    usual_gap_s: float | None = None
    refuses: str = ""  # with this code, instead of beginning

    def said(self) -> ReportedModel:
        return ReportedModel(
            model=MODEL,
            phase=self.phase,
            active=installed(self.running),
            candidate=installed(self.trying),
            rollout="1" if self.accepted else "",
            attempt=self.attempt,
        )

    def condition(self) -> Condition:
        return Condition(disk_free_bytes=self.disk_free_bytes, last_seen=self.last_seen)


class Fleet:
    """One rollout over `devices`. `lose` and `double` are the shares of events that are lost or doubled."""

    def __init__(
        self,
        spec: RolloutSpec,
        devices: int = 6,
        *,
        behaviours: Mapping[str, str] | None = None,
        seed: int = 0,
        lose: float = 0.0,
        double: float = 0.0,
        may_return_to: tuple[str, ...] = ("1.0.0",),
        start_version: str = "1.0.0",
    ) -> None:
        self.random = random.Random(seed)
        self.lose, self.double = lose, double
        self.now = 1000.0
        self.may_return_to = may_return_to
        names = [f"d{i}" for i in range(devices)]
        self.devices = {name: Device(name=name, running=start_version, last_seen=self.now) for name in names}
        for name, behaviour in (behaviours or {}).items():
            self.devices[name].behaviour = behaviour
        divided = divide(names, {}, spec.waves)
        self.rollout = Rollout(
            id=1,
            spec=spec,
            index_sha256=index_of("2.0.0"),
            status=RolloutStatus.VALIDATING,
            since=self.now,
            reason="",
            created_by="eva",
            follows=spec.continuous,
        )
        self.waves = [
            Wave(
                index=i,
                name=wave.name,
                bake_s=wave.bake_s,
                pause_after=wave.then.value == "pause",
                size=len(members),
                counts=Counts({Execution.QUEUED: len(members)}),
            )
            for i, (wave, members) in enumerate(zip(spec.waves, divided, strict=True))
        ]
        self.waves.append(
            Wave(index=len(spec.waves), name="tail", bake_s=0, pause_after=False, size=0, tail=True)
        )
        self.runs = {
            name: DeviceExecution(device=name, wave=i, since=self.now, clock_from=self.now)
            for i, members in enumerate(divided)
            for name in members
        }
        self.counter = 0
        self.promoted = False
        self.took_over = False
        self.obstacle = ""
        self.votes: list[Vote] = []
        self.held: dict[str, int] = {}
        self.opens_at: float | None = None
        self.decisions: list[Decision] = []
        self.offered: list[tuple[float, str]] = []
        self.in_flight: list[tuple[str, int, str, Phase]] = []

    def facts(self) -> Facts:
        status = self.rollout.status
        back = (Return.NONE, Return.SENT, Return.STUCK)
        runs = tuple(
            run
            for run in self.runs.values()
            if not run.state.terminal
            or (status is RolloutStatus.ROLLING_BACK and run.offered_at is not None and run.returning in back)
        )
        return Facts(
            now=self.now,
            rollout=self.rollout,
            waves=tuple(self.waves),
            runs=runs,
            devices={
                name: DeviceFacts(
                    online=device.online,
                    last_seen=device.last_seen,
                    running_version=device.running,
                    running_index=index_of(device.running),
                    at_rest=not device.trying,
                    usual_gap_s=device.usual_gap_s,
                    condition=device.condition(),
                )
                for name, device in self.devices.items()
            },
            offered_last_minute=sum(at > self.now - 60 for at, _ in self.offered),
            may_return_to=self.may_return_to,
            index_of_version={"1.0.0": index_of("1.0.0")},
            obstacle=self.obstacle,
            approvals=tuple(self.votes),
            held=self.held,
            opens_at=self.opens_at,
        )

    def tick(self) -> Outcome:
        """One tick of the controller, and what must hold after every one."""
        if self.rollout.status.terminal:
            return Outcome(rollout=self.rollout, waves=tuple(self.waves), runs=(), orders=(), decisions=())
        outcome = advance(self.facts())
        self._apply(outcome)
        self.check()
        return outcome

    def _apply(self, outcome: Outcome) -> None:
        for run in outcome.runs:
            self._keep_rank(run)
            self.runs[run.device] = run
        for order in outcome.orders:
            match order:
                case Offer(device):
                    self._want(device, "2.0.0", self.runs[device].attempt)
                    self.offered.append((self.now, device))
                case GoBack(device, version, _):
                    self._want(device, version, self.runs[device].attempt + 1)
                case Promote():
                    self.promoted = True
                case TakeOver():
                    self.took_over = True
        self.rollout, self.waves = outcome.rollout, list(outcome.waves)
        self.decisions.extend(outcome.decisions)

    def _want(self, name: str, version: str, attempt: int) -> None:
        self.counter += 1
        device = self.devices[name]
        device.wanted, device.document = (version, attempt), self.counter
        self.runs[name] = replace(self.runs[name], document=(1, self.counter))

    def _keep_rank(self, after: DeviceExecution) -> None:
        before = self.runs[after.device]
        if before.attempt == after.attempt:
            assert RANK[after.state] >= RANK[before.state], (before, after)

    def check(self) -> None:
        """The invariants of rollouts 2 and 3."""
        for wave in self.waves:
            mine = [run.state for run in self.runs.values() if run.wave == wave.index]
            assert wave.counts == Counts.recount(mine), f"counters of wave {wave.name} are not the recount"
            away = [run for run in self.runs.values() if run.wave == wave.index and run.away]
            gone = [run for run in away if not run.state.terminal]
            assert wave.away == Counts.recount(run.state for run in gone)
            assert wave.silent == sum(run.silent for run in gone)
        for before, after in zip(self.waves, self.waves[1:], strict=False):
            if after.status is WaveStatus.IN_PROGRESS:
                assert before.status is WaveStatus.SUCCEEDED, "a wave started before the gate had passed"
        for run in self.runs.values():
            if run.state is Execution.SUCCEEDED and not self.rollout.status.terminal:
                assert run.offered_at is not None
        recent: dict[int, int] = {}
        for at, _ in self.offered:
            recent[int(at)] = sum(at - 60 < other <= at for other, _ in self.offered)
        assert all(n <= self.rollout.spec.rate.maximum_per_minute for n in recent.values())

    # -- the devices ---------------------------------------------------------------------------

    def work(self) -> None:
        """Every device that can be reached reads its document; all go one step on; messages travel."""
        for device in self.devices.values():
            if device.online:
                device.last_seen = self.now
                if device.document > device.accepted:
                    self._accept(device)
            if device.steps:
                self._step(device)
        self.random.shuffle(self.in_flight)
        arriving, self.in_flight = self.in_flight, []
        for name, attempt, version, phase in arriving:
            if not self.devices[name].online:
                self.in_flight.append((name, attempt, version, phase))
                continue
            mine = version == "2.0.0" and attempt == self.runs[name].attempt
            if mine and self.random.random() >= self.lose:
                self._event(name, phase)
        for device in self.devices.values():
            if device.online:
                self._reported(device)

    def _accept(self, device: Device) -> None:
        version, device.attempt = device.wanted
        device.accepted, device.trying = device.document, ""
        if version and version != device.running:
            device.trying = version
            device.steps = [Phase.DOWNLOADING, Phase.SELF_TESTING, Phase.PROBATION, Phase.COMMITTED]
        else:
            device.steps, device.phase = [], Phase.COMMITTED if device.running else Phase.IDLE

    def _step(self, device: Device) -> None:
        phase = device.steps.pop(0)
        bad = device.trying == "2.0.0"
        if bad and device.behaviour == HANGS and phase is Phase.SELF_TESTING:
            device.steps = [Phase.SELF_TESTING]
        if bad and device.refuses:
            phase, device.steps = Phase.REJECTED, []
        if bad and device.behaviour == REJECTS and phase is Phase.SELF_TESTING:
            phase, device.steps = Phase.REJECTED, []
        if bad and device.behaviour == FALLS_BACK and phase is Phase.COMMITTED:
            phase = Phase.FELL_BACK
        if phase is Phase.COMMITTED and device.running == "2.0.0" and device.behaviour == LATE:
            phase = Phase.FELL_BACK
        late = bad and device.behaviour == LATE and phase is Phase.COMMITTED
        version = device.trying or device.running
        if phase is Phase.COMMITTED:
            device.running = device.trying or device.running
        if phase is Phase.FELL_BACK and device.running == "2.0.0":
            device.running = "1.0.0"
        if phase.terminal:
            device.trying = ""
        if late:
            device.steps = [Phase.PROBATION, Phase.PROBATION, Phase.COMMITTED]
        device.phase = phase
        for _ in range(2 if self.random.random() < self.double else 1):
            self.in_flight.append((device.name, device.attempt, version, phase))

    def _event(self, name: str, phase: Phase) -> None:
        device = self.devices[name]
        running = device.running == "2.0.0"
        code = device.refuses if phase is Phase.REJECTED else ""
        run = on_phase(self.runs[name], phase, running=running, reason=code, code=code, now=self.now)
        self._save(again(run, self.rollout.spec.retry, device.condition(), now=self.now))

    def _reported(self, device: Device) -> None:
        run = on_reported(
            self.runs[device.name], device.said(), rollout=1, index_sha256=index_of("2.0.0"), now=self.now
        )
        self._save(
            on_way_back(
                run,
                device.said(),
                seen=(1, device.accepted),
                index_sha256=index_of("2.0.0"),
            )
        )

    def _save(self, after: DeviceExecution) -> None:
        before = self.runs[after.device]
        self._keep_rank(after)
        self.runs[after.device] = after
        for run, n in tally.net([(before, after)]):
            self.waves[run.wave] = tally.counted(self.waves[run.wave], run, n)

    # -- what a test does ----------------------------------------------------------------------

    def run(self, seconds: float, *, step: float = 1.0) -> RolloutStatus:
        """Lets time pass until the rollout has ended or the time is over."""
        end = self.now + seconds
        while self.now < end and not self.rollout.status.terminal:
            self.tick()
            self.work()
            self.now += step
        return self.rollout.status

    def join(self, *names: str) -> None:
        """Devices join the group of a rollout that follows it: they come in through the tail."""
        for name in names:
            self.devices.setdefault(name, Device(name=name, running="1.0.0", last_seen=self.now))
            tail = self.waves[-1]
            self.runs[name] = DeviceExecution(
                device=name, wave=tail.index, since=self.now, clock_from=self.now
            )
            self.waves[-1] = replace(tail, counts=tail.counts.plus(Execution.QUEUED))

    def cut(self, *names: str) -> None:
        for name in names:
            self.devices[name].online = False

    def mend(self, *names: str) -> None:
        for name in names:
            self.devices[name].online = True

    def running(self) -> dict[str, int]:
        versions = [device.running for device in self.devices.values()]
        return {version: versions.count(version) for version in sorted(set(versions))}

    def wave(self, name: str) -> Wave:
        return next(wave for wave in self.waves if wave.name == name)
