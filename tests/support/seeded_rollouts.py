"""Rollouts in every state, as values: what pages are looked at with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from limosa_contracts.phases import Execution

MODEL: Final = "demo/motion"
OTHER_MODEL: Final = "audio/kws"
DEVICES: Final = 40
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
S: Final = Execution


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveSeed:
    name: str
    status: str
    devices: Mapping[Execution, int]
    reason: str = ""
    away: int = 0  # of the open ones
    tail: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSeed:
    version: str
    status: str
    reason: str
    waves: Sequence[WaveSeed]
    pause: str = ""
    age_s: float = 600.0
    model: str = MODEL
    why: str = ""
    decisions: Sequence[tuple[str, str, str]] = field(default_factory=tuple)  # kind, verdict, sentence


FAILED_GATE = "3 of 8 executed devices failed (wave second): at least 17% with 95% confidence, 10% is allowed"
ROLLOUTS: Final = (
    RolloutSeed(
        version="1.0.0",
        status="COMPLETED",
        reason="every gate has passed",
        age_s=30 * DAY,
        waves=(
            WaveSeed(name="canary", status="SUCCEEDED", devices={S.SUCCEEDED: 4}),
            WaveSeed(name="rest", status="SUCCEEDED", devices={S.SUCCEEDED: 34, S.ALREADY_INSTALLED: 2}),
        ),
    ),
    RolloutSeed(
        version="2.0.0",
        status="COMPLETED",
        reason="every gate has passed; 2 stragglers",
        age_s=9 * DAY,
        waves=(
            WaveSeed(
                name="canary", status="SUCCEEDED", devices={S.SUCCEEDED: 4},
                reason="wave canary: 4 of 4 executed devices succeeded; 95 % are needed",
            ),
            WaveSeed(
                name="rest", status="SUCCEEDED", devices={S.SUCCEEDED: 33, S.FAILED: 1},
                reason="wave rest: 33 of 34 executed devices succeeded; 95 % are needed",
            ),
            WaveSeed(name="tail", status="IN_PROGRESS", devices={S.NOTIFIED: 2}, away=2, tail=True),
        ),
    ),
    RolloutSeed(
        version="3.0.0",
        status="ROLLED_BACK",
        reason="1 of 1 executed devices rolled back (wave canary): the hard stop is 1",
        age_s=5 * HOUR,
        why="worker_crashed",
        decisions=(("abort", "ROLLBACK", "1 of 1 executed devices rolled back (wave canary)"),),
        waves=(
            WaveSeed(
                name="canary", status="FAILED", devices={S.ROLLED_BACK: 1, S.SUCCEEDED: 3},
                reason="1 of 4 executed devices rolled back",
            ),
            WaveSeed(name="rest", status="PENDING", devices={S.CANCELED: 36}),
        ),
    ),
    RolloutSeed(
        version="3.0.1", status="ROLLBACK_INCOMPLETE", reason="2 devices could not go back", age_s=3 * HOUR,
        why="golden_mismatch",
        waves=(WaveSeed(name="canary", status="FAILED", devices={S.REJECTED: 2, S.SUCCEEDED: 2}),),
    ),
    RolloutSeed(
        version="3.1.0", status="CANCELED", reason="canceled by ana: wrong group", age_s=2 * HOUR,
        waves=(WaveSeed(name="canary", status="IN_PROGRESS", devices={S.CANCELED: 3, S.SUCCEEDED: 1}),),
    ),
    RolloutSeed(
        version="3.2.0", status="FAILED", reason="12 of 20 executed devices succeeded",
        age_s=1.5 * HOUR, why="probation_failed",
        waves=(
            WaveSeed(
                name="rest", status="FAILED", devices={S.FAILED: 5, S.TIMED_OUT: 3, S.SUCCEEDED: 12}
            ),
        ),
    ),
    RolloutSeed(
        version="3.3.0", status="SUPERSEDED", reason="a newer rollout has taken all of its devices",
        age_s=1.4 * HOUR,
        waves=(WaveSeed(name="rest", status="IN_PROGRESS", devices={S.SUPERSEDED: 10}),),
    ),
    RolloutSeed(
        version="3.4.0", status="INVALID", reason="no device can take it: every one lacks avx512", age_s=HOUR,
        waves=(WaveSeed(name="rest", status="PENDING", devices={S.REMOVED: 5}),),
    ),
    RolloutSeed(
        version="3.5.0", status="ROLLING_BACK", reason="6 devices are on their way back", age_s=200.0,
        why="output_collapsed",
        waves=(WaveSeed(name="rest", status="FAILED", devices={S.ROLLED_BACK: 4, S.SUCCEEDED: 6}),),
    ),
    RolloutSeed(
        version="3.6.0", status="CANCELING", reason="canceled by ana", age_s=20.0,
        waves=(WaveSeed(name="rest", status="IN_PROGRESS", devices={S.IN_PROGRESS: 4, S.QUEUED: 6}),),
    ),
    RolloutSeed(
        version="3.7.0", status="PAUSED", pause="inconclusive", age_s=1800.0,
        reason="wave canary: 0 of 0 executed devices succeeded; no device of it executed the update",
        waves=(WaveSeed(name="canary", status="INCONCLUSIVE", devices={S.NOTIFIED: 4}, away=4),),
    ),
    RolloutSeed(
        version="0.9.0", status="PAUSED", pause="gate_failed", reason=FAILED_GATE, age_s=720.0,
        model=OTHER_MODEL, why="accuracy_below_gate",
        decisions=(
            ("wave_started", "IN_PROGRESS", "wave canary starts: 4 devices"),
            ("gate", "PASSED", "wave canary: 4 of 4 executed devices succeeded; 95 % are needed"),
            ("wave_started", "IN_PROGRESS", "wave second starts: 10 devices"),
            ("abort", "PAUSE", FAILED_GATE),
        ),
        waves=(
            WaveSeed(
                name="canary", status="SUCCEEDED", devices={S.SUCCEEDED: 4},
                reason="wave canary: 4 of 4 executed devices succeeded; 95 % are needed",
            ),
            WaveSeed(
                name="second", status="IN_PROGRESS", away=1,
                devices={S.SUCCEEDED: 5, S.FAILED: 2, S.REJECTED: 1, S.IN_PROGRESS: 1, S.NOTIFIED: 1},
                reason="its devices are offered the release",
            ),
            WaveSeed(name="rest", status="PENDING", devices={S.QUEUED: 26}, away=2),
        ),
    ),
    RolloutSeed(
        version="4.0.0", status="RUNNING", reason="wave second: 6 of 12 devices are not through", age_s=300.0,
        decisions=(
            ("started", "RUNNING", "it starts: 40 devices in 3 waves"),
            ("wave_started", "IN_PROGRESS", "wave canary starts: 4 devices"),
            ("gate", "PASSED", "wave canary: 4 of 4 executed devices succeeded; 95 % are needed"),
            ("wave_started", "IN_PROGRESS", "wave second starts: 12 devices"),
        ),
        waves=(
            WaveSeed(
                name="canary", status="SUCCEEDED", devices={S.SUCCEEDED: 4},
                reason="wave canary: 4 of 4 executed devices succeeded; 95 % are needed",
            ),
            WaveSeed(
                name="second", status="IN_PROGRESS", away=2, reason="its devices are offered the release",
                devices={S.SUCCEEDED: 5, S.ROLLED_BACK: 1, S.IN_PROGRESS: 3, S.NOTIFIED: 3},
            ),
            WaveSeed(name="rest", status="PENDING", devices={S.QUEUED: 24}, away=1),
            WaveSeed(name="tail", status="PENDING", devices={}, tail=True),
        ),
        why="latency_above_limit",
    ),
)  # fmt: skip
"""In the order in which they were started."""
