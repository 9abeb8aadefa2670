"""Which candidate a target gets: gate, then size, then latency (compiler 2.7). Pure.

Measured time never decides alone, so that a build repeats: it is looked at only between candidates
whose sizes are within 5 %, whose graphs differ in more than constants (graphs that do not, run
equally fast), and only a difference of 10 % or more counts. Between equals the better metric on tune
rows wins, then the ladder's order. Where a build must repeat although such a pair is close,
`limosa build --replay EVIDENCE` takes the times recorded before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from limosa_compiler.measure import Measured
from limosa_compiler.metrics import Metric
from limosa_compiler.recipe import Gate
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.profiles import Profile

SIZE_TIE: Final = 1.05
LATENCY_DECIDES: Final = 0.90


class Standing(Enum):
    """Where a candidate ended, in the order in which it is asked."""

    NOT_FOR_TARGET = "not_for_target"
    TOO_LARGE = "too_large"
    GATE = "gate"
    LARGER = "larger"
    SLOWER = "slower"
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
    """A verdict for every candidate, in the order of the ladder."""

    target: str
    verdicts: tuple[Verdict, ...]

    @property
    def chosen(self) -> str | None:
        for verdict in self.verdicts:
            if verdict.standing is Standing.CHOSEN:
                return verdict.candidate
        return None


def choose(measured: Sequence[Measured], *, profile: Profile, gate: Gate, metric: Metric) -> Choice:
    """The choice for one target; `chosen` is None if no candidate meets the gate."""
    refused = {item.name: verdict for item in measured if (verdict := _refusal(item, profile, gate, metric))}
    passing = [item for item in measured if item.name not in refused]
    winner = _best(passing, metric) if passing else None
    return Choice(
        target=profile.name,
        verdicts=tuple(refused.get(item.name) or _placed(item, winner, passing) for item in measured),
    )


def shortfall(item: Measured, gate: Gate, metric: Metric) -> float:
    """Points that the candidate misses the gate by, 0 if it meets it: what came closest is least."""
    bound = item.tune.points if item.tune.lower_bound_points is None else item.tune.lower_bound_points
    misses = [0.0, -bound - gate.max_loss_points, -item.holdout.points - gate.max_loss_points]
    misses += [_below(score.metric, gate, metric) for score in (item.tune, item.holdout)]
    return max(misses)


def _below(value: float, gate: Gate, metric: Metric) -> float:
    if gate.min_metric is None:
        return 0.0
    miss = gate.min_metric - value if metric.higher_is_better else value - gate.min_metric
    scale = 100.0 if metric.is_share else 100.0 / max(abs(gate.min_metric), 1e-12)
    return max(0.0, miss * scale)


def _refusal(item: Measured, profile: Profile, gate: Gate, metric: Metric) -> Verdict | None:
    if item.precision not in profile.precisions:
        why = f"{profile.name} takes {', '.join(profile.precisions)}"
        return Verdict(candidate=item.name, standing=Standing.NOT_FOR_TARGET, reason=why)
    limit = profile.limits.artifact_bytes
    if limit and item.size > limit:
        why = f"{item.size} bytes, {profile.name} takes at most {limit}"
        return Verdict(candidate=item.name, standing=Standing.TOO_LARGE, reason=why)
    reason = _gate_reason(item, gate, metric)
    return Verdict(candidate=item.name, standing=Standing.GATE, reason=reason) if reason else None


def _gate_reason(item: Measured, gate: Gate, metric: Metric) -> str:
    """Empty if the gate is met: on tune rows with 95 % confidence, on holdout rows as they are."""
    for part, score in (("tune", item.tune), ("holdout", item.holdout)):
        if _below(score.metric, gate, metric) > 0:
            side = "below" if metric.higher_is_better else "above"
            return f"{metric.name} {score.metric:.4f} on {part} rows is {side} {gate.min_metric}"
    bound = item.tune.lower_bound_points
    if bound is not None and -bound > gate.max_loss_points:
        return (
            f"may lose {-bound:.2f} points on tune rows (95 % bound of {item.tune.rows} rows), "
            f"{gate.max_loss_points:g} are allowed"
        )
    if -item.holdout.points > gate.max_loss_points:
        return (
            f"loses {-item.holdout.points:.2f} points on holdout rows, {gate.max_loss_points:g} are allowed"
        )
    return ""


def _best(passing: Sequence[Measured], metric: Metric) -> Measured:
    sign = -1.0 if metric.higher_is_better else 1.0
    ranked = sorted(passing, key=lambda item: (item.size, sign * item.tune.metric))
    best = ranked[0]
    for item in ranked[1:]:
        if item.size <= ranked[0].size * SIZE_TIE and _clearly_faster(item, best):
            best = item
    return best


def _clearly_faster(item: Measured, other: Measured) -> bool:
    return item.structure != other.structure and item.latency.ratio <= LATENCY_DECIDES * other.latency.ratio


def _placed(item: Measured, winner: Measured | None, passing: Sequence[Measured]) -> Verdict:
    if winner is None or item is winner:
        smallest = min(other.size for other in passing)
        why = (
            "smallest that meets the gate"
            if item.size == smallest
            else "as small as the smallest, and faster"
        )
        return Verdict(candidate=item.name, standing=Standing.CHOSEN, reason=why)
    if item.size > winner.size * SIZE_TIE:
        why = f"meets the gate, but {item.size / winner.size:.2f} × the size of {winner.name}"
        return Verdict(candidate=item.name, standing=Standing.LARGER, reason=why)
    if _clearly_faster(winner, item):
        why = f"meets the gate, but {winner.name} is as small and clearly faster"
        return Verdict(candidate=item.name, standing=Standing.SLOWER, reason=why)
    why = f"meets the gate; {winner.name} is no larger, and not worse on tune rows"
    return Verdict(candidate=item.name, standing=Standing.SECOND, reason=why)
