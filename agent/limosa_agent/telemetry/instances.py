"""Instances of `limosa_agent.Model` in applications: what each counted since it was heard last. Pure.

A snapshot is cumulative per instance, so one that is lost costs nothing. Who may write to the socket
is not this agent: what does not fit the release or goes backwards is refused, and there is a limit to
how many instances are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from limosa_agent.telemetry.instance_message import InstanceMessage
from limosa_agent.telemetry.windows import SHADOW_COUNTERS, Snapshot
from limosa_contracts.baseline import BINS, CONFIDENCE_BINS, Baseline
from limosa_contracts.errors import InvalidField
from limosa_contracts.feedback import Kpi
from limosa_contracts.window import LATENCY_EDGES_US

INSTANCES_MAX: Final = 64
SILENT_S: Final = 60.0  # one that was silent for so long may be forgotten for a new one
COUNT_MAX: Final = 2**48  # no process answers so often
AMOUNT_MAX: Final = 1e250  # sums stay finite, however many of these come together
CODES_MAX: Final = 32
CODE: Final = re.compile(r"LM-[0-9]{3}")

Key = tuple[str, str, str]  # model, manifest, instance


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseShape:
    """What a snapshot of this release must look like, from the release itself."""

    version: str
    baseline_id: str
    features: int
    classes: int

    @classmethod
    def of(cls, baseline: Baseline, *, version: str) -> Self:
        return cls(
            version=version,
            baseline_id=baseline.baseline_id,
            features=len(baseline.features),
            classes=len(baseline.class_counts),
        )

    def holds(self, snapshot: Snapshot) -> bool:
        sketch = snapshot.sketch
        return (
            snapshot.baseline == self.baseline_id
            and [len(row) for row in sketch.bins] == [BINS] * self.features
            and {len(sketch.missing), len(sketch.sums), len(sketch.squares)} == {self.features}
            and len(sketch.classes) == self.classes
            and len(sketch.confidence) == CONFIDENCE_BINS
            and len(sketch.latency) == len(LATENCY_EDGES_US) + 1
        )


@dataclass(slots=True)
class _Heard:
    sequence: int
    snapshot: Snapshot
    at_s: float


class Instances:
    """`at_s` everywhere: seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._heard: Final[dict[Key, _Heard]] = {}

    def take(self, message: InstanceMessage, shape: ReleaseShape, *, at_s: float) -> Snapshot:
        """What came since the instance's last message.

        One that is not known and has told before is only remembered: an agent before this one, or this
        one before it forgot, has counted that. Raises InvalidField; nothing has changed then.
        """
        snapshot = _parsed(message, shape)
        key = (message.model, message.manifest_sha256, message.instance)
        before = self._heard.get(key)
        if before is None:
            self._make_room(at_s)
            fresh = snapshot.minus(snapshot) if message.sequence else snapshot
        elif message.sequence <= before.sequence or not _grew(before.snapshot, snapshot):
            raise InvalidField("an instance counts backwards", where=f"observation of {message.instance}")
        else:
            fresh = snapshot.minus(before.snapshot)
        self._heard[key] = _Heard(message.sequence, snapshot, at_s)
        return fresh

    def _make_room(self, at_s: float) -> None:
        if len(self._heard) < INSTANCES_MAX:
            return
        oldest = min(self._heard, key=lambda key: self._heard[key].at_s)
        if at_s - self._heard[oldest].at_s < SILENT_S:
            raise InvalidField(f"{INSTANCES_MAX} instances are known already", where="observation")
        del self._heard[oldest]


def _parsed(message: InstanceMessage, shape: ReleaseShape) -> Snapshot:
    _check_codes(message.snapshot)
    snapshot = Snapshot.parse(message.snapshot)
    kpis = snapshot.feedback.kpis.values() if snapshot.feedback is not None else ()
    said = (amount for kpi in kpis for amount in (kpi.total, kpi.squares))
    amounts = (*snapshot.sketch.sums, *snapshot.sketch.squares, *said)
    if (
        not shape.holds(snapshot)
        or snapshot.shadow is not None
        or any(name in snapshot.counters for name in SHADOW_COUNTERS)
        or max(_counts(snapshot)) > COUNT_MAX
        or any(abs(amount) > AMOUNT_MAX for amount in amounts)
    ):
        raise InvalidField("the snapshot is not of this release", where=f"observation of {message.model}")
    return snapshot


def _check_codes(raw: Mapping[str, object]) -> None:
    for kind in ("errors", "refused"):
        codes = raw.get(kind)
        if isinstance(codes, Mapping) and (
            len(codes) > CODES_MAX or not all(CODE.fullmatch(code) for code in codes)
        ):
            raise InvalidField("these are no codes of errors", where=f"observation.{kind}")


def _counts(snapshot: Snapshot) -> Sequence[int]:
    sketch = snapshot.sketch
    return (
        snapshot.n,
        *snapshot.counters.values(),
        *(count for row in sketch.bins for count in row),
        *sketch.missing,
        *sketch.classes,
        *sketch.confidence,
        *sketch.latency,
        *_of_feedback(snapshot),
    )


def _of_feedback(snapshot: Snapshot) -> Sequence[int]:
    said = snapshot.feedback
    return () if said is None else (*(kpi.n for kpi in said.kpis.values()), *said.labelled, *said.correct)


def _feedback_grew(before: Snapshot, now: Snapshot) -> bool:
    if before.feedback is None or now.feedback is None:
        return before.feedback is None
    pairs = (
        (before.feedback.labelled, now.feedback.labelled),
        (before.feedback.correct, now.feedback.correct),
    )
    none = Kpi()
    return all(x <= y for a, b in pairs for x, y in zip(a, b, strict=True)) and all(
        kpi.n <= now.feedback.kpis.get(name, none).n for name, kpi in before.feedback.kpis.items()
    )


def _grew(before: Snapshot, now: Snapshot) -> bool:
    """Whether no count of the same load of a release became less."""
    names = sorted(before.counters | now.counters)
    counters = all(before.counters.get(name, 0) <= now.counters.get(name, 0) for name in names)
    arrays = (
        (before.sketch.missing, now.sketch.missing),
        (before.sketch.classes, now.sketch.classes),
        (before.sketch.confidence, now.sketch.confidence),
        (before.sketch.latency, now.sketch.latency),
        *zip(before.sketch.bins, now.sketch.bins, strict=True),
    )
    if not _feedback_grew(before, now):
        return False
    return (
        counters and before.n <= now.n and all(x <= y for a, b in arrays for x, y in zip(a, b, strict=True))
    )
