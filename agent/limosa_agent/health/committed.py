"""Watches every committed version, and falls back once where it fails for long (agent 4.3)."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from limosa_agent.health.config import HealthLimits
from limosa_agent.health.crashes import CrashCount
from limosa_agent.health.facts import Observed
from limosa_agent.health.late import LateWatch
from limosa_agent.health.probation import baseline_classes
from limosa_agent.health.probe_results import ProbeResults
from limosa_agent.serving.slot_ref import SlotRef
from limosa_contracts.event import Reason

Tell = Callable[[str, Reason], None]
"""Of a model, why."""
ASK_AGAIN_S: Final = 30.0  # a fall-back that was asked for has not come


class CommittedWatch:
    """`fail` falls back; it is asked for only while `may_fail` says that the model can: until then what
    has failed is kept. Where there is nothing to fall back to, `alarm` tells it, once per version."""

    def __init__(
        self,
        *,
        limits: HealthLimits,
        memory_max_bytes: int,
        may_fail: Callable[[str], bool],
        fail: Tell,
        alarm: Tell,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits: Final = limits
        self._memory_max_bytes: Final = memory_max_bytes
        self._may_fail: Final = may_fail
        self._fail: Final = fail
        self._alarm: Final = alarm
        self._clock: Final = clock
        self._crashes: Final = CrashCount(limits=limits)
        self._failed: Final[dict[str, tuple[str, Reason]]] = {}  # model -> (digest, why)
        self._told: Final[set[tuple[str, str]]] = set()  # (digest, code)
        self._served: Final[dict[str, tuple[str, float]]] = {}  # model -> (digest, since when)
        self._asked_s: Final[dict[str, float]] = {}  # digest -> when its fall-back was asked for
        self.watches: Final[dict[str, LateWatch]] = {}  # by model, the youngest last

    def observe(self, slot: SlotRef, seen: Observed, *, generation: int, memory: bool = True) -> None:
        """A snapshot of a version that is served and not on trial. `memory`: the worker's is of now."""
        watch = self._watch(slot)
        youngest = memory and next(reversed(self.watches)) == slot.model
        watch.observe(seen, generation=generation, now_s=self._clock(), youngest=youngest)

    def _watch(self, slot: SlotRef) -> LateWatch:
        """Of this version; a new one where another version was watched."""
        watch = self.watches.get(slot.model)
        if watch is None or watch.manifest_sha256 != slot.manifest_sha256:
            self.watches.pop(slot.model, None)
            watch = self.watches[slot.model] = LateWatch(
                manifest_sha256=slot.manifest_sha256,
                limits=self._limits,
                began_s=self._served_since(slot),
                baseline_classes=baseline_classes(Path(slot.directory)),
                memory_max_bytes=self._memory_max_bytes,
            )
        return watch

    def crashed(self, slot: SlotRef, reason: Reason) -> None:
        """Its worker ended in an inference of this model, or of nobody knows which."""
        if self._crashes.too_many(slot.model, now_s=self._clock()):
            self._failed[slot.model] = (
                slot.manifest_sha256,
                Reason(
                    code="crash_loop",
                    message=reason.message,
                    evidence={
                        **reason.evidence,
                        "crashes": self._limits.crashes_max,
                        "within_s": self._limits.crashes_within_s,
                    },
                ),
            )
            self.settle()

    def _served_since(self, slot: SlotRef) -> float:
        """Its trial included: a probe that passed then has passed under this version."""
        digest, since_s = self._served.get(slot.model, ("", 0.0))
        if digest != slot.manifest_sha256:
            since_s = self._clock()
            self._served[slot.model] = (slot.manifest_sha256, since_s)
        return since_s

    def tick(
        self,
        served: Mapping[str, SlotRef],
        probes: Callable[[str], Sequence[ProbeResults]],
        *,
        on_trial: Collection[str] = (),
    ) -> None:
        """`on_trial`: models whose present version a probation judges."""
        now = self._clock()
        for slot in served.values():
            self._served_since(slot)
        serving = {model: slot for model, slot in served.items() if model not in on_trial}
        for model in [m for m, w in self.watches.items() if not _serves(serving, m, w.manifest_sha256)]:
            del self.watches[model]
        for model in [m for m, (digest, _) in self._failed.items() if not _serves(serving, m, digest)]:
            del self._failed[model]
        for model in sorted(serving):
            watch = self._watch(serving[model])  # also of what nobody asks: its probes are heard
            facts = [
                results.since(watch.began_s, failed_before=results.failing_before(watch.began_s))
                for results in probes(model)
            ]
            watch.hear(facts, now_s=now)
            reason = watch.verdict(now_s=now)
            if reason is not None:
                self._failed.setdefault(model, (watch.manifest_sha256, reason))
        self.settle()

    def settle(self) -> None:
        """Falls back where that can be done now."""
        for model, (digest, reason) in list(self._failed.items()):
            if self._clock() - self._asked_s.get(digest, -ASK_AGAIN_S) < ASK_AGAIN_S:
                continue
            if self._may_fail(model):
                self._asked_s[digest] = self._clock()
                self._fail(model, reason)
            elif (digest, reason.code) not in self._told:
                self._told.add((digest, reason.code))
                self._alarm(model, reason)


def _serves(serving: Mapping[str, SlotRef], model: str, digest: str) -> bool:
    return model in serving and serving[model].manifest_sha256 == digest
