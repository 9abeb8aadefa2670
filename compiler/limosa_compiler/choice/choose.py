"""Which candidate a target gets: target and gate, then the preference, then holdout (compiler 2.7). Pure.

The choice is made on tune rows alone. The one that was chosen is then confirmed on holdout rows; if it
is not, the next best is asked, and how often holdout rows were looked at is said: each look that fails
makes the next less certain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from limosa_compiler.choice.gates import (
    fails_clearly,
    impossible,
    misses_on_holdout,
    misses_on_tune,
    shortfall,
)
from limosa_compiler.choice.pareto import ACCURACY_TIE_POINTS, SIZE_TIE, best, clearly_faster, dominates
from limosa_compiler.choice.ties import NONE, Leanings, settled
from limosa_compiler.measuring.measure import Measured, Pruned
from limosa_compiler.metrics import Metric
from limosa_compiler.recipe.gate import Gate, Prefer
from limosa_compiler.search.candidate import FP32, Candidate
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.profiles import Profile

__all__ = [
    "Choice",
    "Standing",
    "Verdict",
    "cannot_win",
    "choose",
    "fails_clearly",
    "impossible",
    "may_be_shipped",
    "shortfall",
]

_WORDS: Final = {
    Prefer.SIZE: ("smallest that meets the gate", "as small as the smallest, and faster"),
    Prefer.LATENCY: ("fastest that meets the gate", "as fast as the fastest, and smaller"),
    Prefer.ACCURACY: (
        "best metric of those that meet the gate",
        "as good as the best, and smaller",
    ),
}
_TIED: Final = {
    Prefer.SIZE: "as small as the smallest",
    Prefer.LATENCY: "as fast as the fastest",
    Prefer.ACCURACY: "as good as the best",
}


class Standing(Enum):
    """Where a candidate ended, in the order in which it is asked."""

    NOT_FOR_TARGET = "not_for_target"
    TOO_LARGE = "too_large"
    GATE = "gate"
    PRUNED = "pruned"
    HOLDOUT = "holdout"
    LARGER = "larger"
    SLOWER = "slower"
    WORSE = "worse"
    SECOND = "second"
    CHOSEN = "chosen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    candidate: str
    standing: Standing
    reason: str

    def as_json(self) -> dict[str, JsonValue]:
        return {"candidate": self.candidate, "standing": self.standing.value, "reason": self.reason}

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Verdict:
        fields = Fields(value, where=where)
        return cls(
            candidate=fields.text("candidate", max_chars=128),
            standing=Standing(fields.choice("standing", tuple(item.value for item in Standing))),
            reason=fields.text("reason", max_chars=1000),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A verdict for every candidate, in the order of the ladder; those pruned come last."""

    target: str
    verdicts: tuple[Verdict, ...]
    holdout_looks: int = 0  # candidates that were asked on holdout rows; 0 in evidence of old

    @property
    def chosen(self) -> str | None:
        for verdict in self.verdicts:
            if verdict.standing is Standing.CHOSEN:
                return verdict.candidate
        return None


def choose(
    measured: Sequence[Measured],
    *,
    profile: Profile,
    gate: Gate,
    metric: Metric,
    prefer: Prefer = Prefer.SIZE,
    pruned: Sequence[Pruned] = (),
    unfit: Mapping[str, str] | None = None,
    leanings: Leanings = NONE,
) -> Choice:
    """The choice for one target; `chosen` is None if no candidate may be shipped there.

    `unfit`: candidates that the target's processor would not compute as measured, and why. `leanings`
    decide between candidates that are as good as each other.
    """
    size = _fp32_size(measured)
    verdicts = {
        item.name: verdict for item in measured if (verdict := _refusal(item, profile, gate, metric, size))
    }
    verdicts |= {
        name: Verdict(candidate=name, standing=Standing.NOT_FOR_TARGET, reason=why)
        for name, why in (unfit or {}).items()
    }
    left = [item for item in measured if item.name not in verdicts]
    looks = 0
    winner: Measured | None = None
    tie = ""
    while left and winner is None:
        asked, tie = settled(best(left, metric, prefer), left, leanings, metric, prefer)
        looks += 1
        if reason := misses_on_holdout(asked, gate, metric):
            verdicts[asked.name] = Verdict(candidate=asked.name, standing=Standing.HOLDOUT, reason=reason)
            left.remove(asked)
        else:
            winner = asked
    if winner is not None:
        verdicts |= {item.name: _placed(item, winner, left, metric, prefer, tie) for item in left}
    ended = [Verdict(candidate=item.name, standing=Standing.PRUNED, reason=item.reason) for item in pruned]
    return Choice(
        target=profile.name,
        verdicts=(*(verdicts[item.name] for item in measured), *ended),
        holdout_looks=looks,
    )


def may_be_shipped(item: Measured, *, profile: Profile, gate: Gate, metric: Metric, fp32_size: int) -> bool:
    """Target and gate, on tune and on holdout rows: what is larger need not be measured then."""
    return _refusal(item, profile, gate, metric, fp32_size) is None and not misses_on_holdout(
        item, gate, metric
    )


def cannot_win(item: Candidate, passing: Sequence[Measured], prefer: Prefer) -> str:
    """Why a candidate need not be measured, or "".

    `passing` may be shipped to every target that takes `item`: see `may_be_shipped`.

    Only size is known before measuring, so only a preference for size spares anything.
    """
    if prefer is not Prefer.SIZE or not passing:
        return ""
    smallest = min(passing, key=lambda other: (other.size, other.name))
    if item.size <= smallest.size * SIZE_TIE:
        return ""
    return f"{item.size / smallest.size:.2f} × the size of {smallest.name}, which meets the gate"


def _refusal(item: Measured, profile: Profile, gate: Gate, metric: Metric, fp32_size: int) -> Verdict | None:
    if item.precision not in profile.precisions:
        why = f"{profile.name} takes {', '.join(profile.precisions)}"
        return Verdict(candidate=item.name, standing=Standing.NOT_FOR_TARGET, reason=why)
    if item.runtime not in {runtime.name for runtime in profile.runtimes}:
        why = f"{profile.name} has no {item.runtime}"
        return Verdict(candidate=item.name, standing=Standing.NOT_FOR_TARGET, reason=why)
    for what, needs, limit in (
        ("bytes", item.size, profile.limits.artifact_bytes),
        ("bytes of memory", item.memory_bytes or 0, profile.limits.memory_bytes),
    ):
        if limit and needs > limit:
            why = f"{needs} {what}, {profile.name} takes at most {limit}"
            return Verdict(candidate=item.name, standing=Standing.TOO_LARGE, reason=why)
    reason = misses_on_tune(item, gate, metric, fp32_size=fp32_size)
    return Verdict(candidate=item.name, standing=Standing.GATE, reason=reason) if reason else None


def _fp32_size(measured: Sequence[Measured]) -> int:
    """Of the reference; where it is not among them, of the largest."""
    sizes = [item.size for item in measured if item.name == FP32] or [item.size for item in measured]
    return max(sizes, default=1)


def _placed(
    item: Measured, winner: Measured, left: Sequence[Measured], metric: Metric, prefer: Prefer, tie: str
) -> Verdict:
    """`tie`: what decided between the winner and those as good as it."""
    if item is winner:
        why = _why(winner, left, prefer, tied=bool(tie))
        return Verdict(candidate=item.name, standing=Standing.CHOSEN, reason=f"{why}{tie}")
    standing, why = _second_place(item, winner, metric, prefer)
    return Verdict(candidate=item.name, standing=standing, reason=f"meets the gate{why}")


def _why(winner: Measured, left: Sequence[Measured], prefer: Prefer, *, tied: bool) -> str:
    first = {
        Prefer.SIZE: winner.size == min(other.size for other in left),
        Prefer.LATENCY: winner.latency.ratio == min(other.latency.ratio for other in left),
        Prefer.ACCURACY: winner.tune.points == max(other.tune.points for other in left),
    }[prefer]
    if tied and not first:
        return f"{_TIED[prefer]} that meets the gate"
    return _WORDS[prefer][0 if first else 1]


def _second_place(item: Measured, winner: Measured, metric: Metric, prefer: Prefer) -> tuple[Standing, str]:
    """What the winner is better in; the preference is asked first."""
    points = winner.tune.points - item.tune.points
    found: dict[Prefer, tuple[Standing, str]] = {}
    if item.size > winner.size * SIZE_TIE:
        times = item.size / winner.size
        found[Prefer.SIZE] = (Standing.LARGER, f", but {times:.2f} × the size of {winner.name}")
    if clearly_faster(winner, item):
        times = winner.latency.ratio / item.latency.ratio
        found[Prefer.LATENCY] = (Standing.SLOWER, f", but {winner.name} takes {times:.2f} × its time")
    if points > ACCURACY_TIE_POINTS and not dominates(winner, item, metric):
        why = f", but {winner.name} is {points:.2f} points better on tune rows"
        found[Prefer.ACCURACY] = (Standing.WORSE, why)
    for asked in (prefer, *Prefer):
        if asked in found:
            return found[asked]
    if dominates(winner, item, metric):
        return Standing.SECOND, f"; {winner.name} is no larger, and not worse on tune rows"
    return Standing.SECOND, f"; no difference to {winner.name} is large enough to decide for it"
