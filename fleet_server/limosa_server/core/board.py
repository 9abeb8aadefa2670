"""The working copy of one tick: it moves executions and keeps the waves' counters in step."""

from __future__ import annotations

from collections.abc import Iterator

from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.abort import Failure
from limosa_server.core import tally
from limosa_server.core.changing import changed
from limosa_server.core.counts import Counts
from limosa_server.core.execution import DeviceExecution
from limosa_server.core.facts import DeviceFacts, Facts, Order, Outcome
from limosa_server.core.judging.judge import Decision
from limosa_server.core.rollout import Pause, RolloutEvent
from limosa_server.core.wave import Wave, WaveEvent

NOBODY = DeviceFacts()


class Board:
    """Local to one call of `advance`; nothing outside sees it change."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.now = facts.now
        self.rollout = facts.rollout
        self._waves = list(facts.waves)
        self._moved: list[tuple[DeviceExecution, DeviceExecution]] = []  # not in their counters yet
        self.runs = {run.device: run for run in facts.runs}
        self.changed: dict[str, DeviceExecution] = {}
        self.orders: list[Order] = []
        self.decisions: list[Decision] = []
        self.offered = 0
        self.incomplete = False

    @property
    def waves(self) -> list[Wave]:
        """With the counters of everything that was put; a tick puts a thousand and asks a few times."""
        if self._moved:
            for run, n in tally.net(self._moved):
                self._waves[run.wave] = tally.counted(self._waves[run.wave], run, n)
            self._moved.clear()
        return self._waves

    def device(self, name: str) -> DeviceFacts:
        return self.facts.devices.get(name, NOBODY)

    def put(self, run: DeviceExecution) -> None:
        """Takes a changed execution, and moves the counters of its wave."""
        before = self.runs[run.device]
        if before == run:
            return
        self._moved.append((before, run))
        self.runs[run.device] = run
        self.changed[run.device] = run

    def open(self, wave: int | None = None) -> Iterator[DeviceExecution]:
        """Executions that have not ended, in the order of their devices' names."""
        for device in sorted(self.runs):
            run = self.runs[device]
            if not run.state.terminal and wave in (None, run.wave):
                yield run

    def everyone(self, wave: int | None = None) -> list[DeviceExecution]:
        """All that have not ended, where a decision concerns every one of them. If some were not read, the
        outcome says so, and nothing of it counts."""
        found = list(self.open(wave))
        if len(found) < self.count_open(wave):
            self.incomplete = True
        return found

    def count_open(self, wave: int | None = None) -> int:
        """Executions that have not ended, read or not."""
        return sum(one.counts.open for one in self.waves if wave in (None, one.index))

    @property
    def totals(self) -> Counts:
        total = Counts()
        for wave in self.waves:
            total += wave.counts
        return total

    def silent(self, wave: int | None = None) -> int:
        """Devices that switched and were not heard of for longer than allowed (rollouts 3.4)."""
        return sum(one.silent for one in self.waves if wave in (None, one.index))

    def accepted(self, kind: Failure) -> bool:
        """Whether an operator resumed in spite of as many. Each kind has its own number: failures that were
        accepted do not excuse silence, nor silence failures."""
        if kind is Failure.ALL:
            return self.rollout.accepted_failures >= self.totals.failed
        now = self.silent() if kind is Failure.SILENT else self.totals.failures(kind)
        return self.rollout.accepted.get(kind.value, 0) >= now

    @property
    def compared_waves(self) -> int:
        """Waves that have a gate of their own: all but the tail."""
        return sum(not wave.tail for wave in self.waves)

    def current(self) -> Wave | None:
        """The wave that is under way: the first that has not passed."""
        return next((wave for wave in self.waves if wave.status.value != "SUCCEEDED"), None)

    def move_wave(self, wave: Wave, event: WaveEvent, reason: str) -> Wave:
        moved = self.waves[wave.index].after(event, reason=reason, now=self.now)
        self.waves[wave.index] = moved
        return moved

    def move(self, event: RolloutEvent, reason: str, *, pause: Pause = Pause.NONE) -> None:
        self.rollout = self.rollout.after(event, reason=reason, now=self.now, pause=pause)

    def say(self, reason: str) -> None:
        """The present reason, without a change of state."""
        if self.rollout.reason != reason:
            self.rollout = changed(self.rollout, reason=reason)

    def decide(
        self,
        kind: str,
        verdict: str,
        sentence: str,
        *,
        wave: int | None = None,
        numbers: dict[str, JsonValue] | None = None,
        by: str = "controller",
    ) -> None:
        given: dict[str, JsonValue] = {"counts": self.totals.as_json()} if numbers is None else numbers
        self.decisions.append(
            Decision(kind=kind, verdict=verdict, sentence=sentence, numbers=given, wave=wave, by=by)
        )

    def outcome(self) -> Outcome:
        return Outcome(
            rollout=self.rollout,
            waves=tuple(self.waves),
            runs=tuple(self.changed.values()),
            orders=tuple(self.orders),
            decisions=tuple(self.decisions),
            incomplete=self.incomplete,
        )
