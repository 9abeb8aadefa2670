"""One metric of a comparison: estimate, interval, margin, verdict (rollouts 5.4). Pure numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.analysis import AnalysisRule
from limosa_contracts.rollout.metrics import Direction, Kind, NoData
from limosa_server.core.judging import exact, ranks
from limosa_server.core.judging.judge import Verdict
from limosa_server.core.judging.samples import Sample, Stratum
from limosa_server.core.judging.spending import Look

SHARE_MARGIN_MOST: Final = 0.28  # what 20 devices can rule out of which one fails
SHARE_MARGIN_LEAST: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Harm and its bounds in the metric's own measure: a share of devices, a share of the quantity, a
    distance; positive is worse. None where there is too little to say anything.

    `p`: of the test that nothing is worse. `level`: at which it was to be surely worse."""

    metric: str
    kind: Kind
    verdict: Verdict
    ignored: bool = False
    hits: tuple[int, int] = (0, 0)  # devices on which it happened; rates only
    n: tuple[int, int] = (0, 0)  # devices with a number: treated, control
    own_before: bool = False
    harm: float | None = None
    lower: float | None = None
    upper: float | None = None
    margin: float
    p: float = 1.0
    level: float = 0.0
    more_devices: int = 0
    more_of_bake: float = 0.0  # this many bakes more, for what varies with time

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "metric": self.metric,
            "kind": self.kind.value,
            "verdict": "IGNORED" if self.ignored else self.verdict.value,
            "hits": list(self.hits),
            "n": list(self.n),
            "own_before": self.own_before,
            "harm": _rounded(self.harm),
            "lower": _rounded(self.lower),
            "upper": _rounded(self.upper),
            "margin": _rounded(self.margin),
            "p": _significant(self.p),
            "level": _significant(self.level),
            "more_devices": self.more_devices,
            "more_of_bake": _rounded(self.more_of_bake),
        }


def share_margin(treated: int) -> float:
    """The harm, as a share of devices, that so many devices can rule out while a few of them fail anyway.

    At 2 % that fail anyway, nineteen of twenty sound waves stay inside it.

    >>> [round(share_margin(n), 3) for n in (20, 50, 100, 500, 1000)]
    [0.28, 0.198, 0.14, 0.063, 0.05]
    """
    return min(SHARE_MARGIN_MOST, max(SHARE_MARGIN_LEAST, 1.4 / math.sqrt(max(1, treated))))


class Measured:
    """A rule with the devices that have a number for it; computes what is asked for, when it is asked."""

    def __init__(self, rule: AnalysisRule, sample: Sample) -> None:
        self.rule = rule
        self.kind = rule.about.kind
        sign = 1.0 if rule.direction is Direction.UP else -1.0
        self.strata = [_turned(one, sign, self.kind) for one in sample.strata if one.treated and one.control]
        self.n = (sum(len(s.treated) for s in self.strata), sum(len(s.control) for s in self.strata))
        self.own_before = sample.own_before
        self.margin = rule.margin if rule.margin is not None else share_margin(self.n[0])
        self._tables = [_table(one) for one in self.strata] if self.kind is Kind.RATE else []
        self._pairs = [ranks.Pair.of(s.treated, s.control) for s in self.strata] if not self._tables else []

    @property
    def enough(self) -> bool:
        return min(self.n) >= self.rule.min_devices_per_arm

    @property
    def hits(self) -> tuple[int, int]:
        return sum(t.hit for t in self._tables), sum(t.hit_control for t in self._tables)

    def p(self) -> float:
        """Of the test that the treated are not worse."""
        if self._tables:
            return exact.surely_more(self._tables)
        return ranks.surely_larger(self._pairs)

    def harm(self) -> float:
        middle = exact.difference(self._tables) if self._tables else ranks.shift(self._pairs)
        return self._shown(middle)

    def bound(self, level: float, *, upper: bool) -> float:
        """One-sided, at confidence 1 - level."""
        if self._tables:
            return exact.difference_bound(self._tables, level, upper=upper)
        return self._shown(ranks.shift_bound(self._pairs, level, upper=upper))

    def above_floor(self, level: float) -> bool:
        """Whether more devices are surely hit than are granted beyond the controls' own share."""
        floor = self.rule.about.floor
        if not self._tables or floor <= 0.0:
            return True
        granted = floor + self.hits[1] / self.n[1]
        return exact.binomial_tail(self.hits[0], self.n[0], granted) <= level

    def _shown(self, value: float) -> float:
        return math.expm1(min(value, 50.0)) if self.kind is Kind.RATIO else value


def judge_metric(measured: Measured, look: Look, *, p: float, level: float) -> Finding:
    """`level`: at which p counts as surely worse, after Holm where that applies.

    PASSED: the harm is surely inside the margin. FAILED: it is surely there, and not surely inside.
    Only the end of a bake can pass (rollouts 5.5).
    """
    rule = measured.rule
    if not measured.enough:
        return _without(measured, look)
    surely = p <= level and measured.above_floor(level)
    if not look.last and not surely:
        return _finding(measured, Verdict.INCONCLUSIVE, p=p, level=level)
    upper = measured.bound(look.pass_level(rule.alpha), upper=True)
    lower = measured.bound(level if level > 0 else look.fail_level(rule.alpha), upper=False)
    if upper < measured.margin:
        verdict = Verdict.PASSED if look.last else Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.FAILED if surely else Verdict.INCONCLUSIVE
    devices, bakes = (0, 0.0)
    if verdict is Verdict.INCONCLUSIVE and look.last:
        devices, bakes = _missing(measured, upper)
    return _finding(
        measured, verdict, p=p, level=level, lower=lower, upper=upper, devices=devices, bakes=bakes
    )


def _finding(
    measured: Measured,
    verdict: Verdict,
    *,
    p: float,
    level: float,
    lower: float | None = None,
    upper: float | None = None,
    devices: int = 0,
    bakes: float = 0.0,
) -> Finding:
    return Finding(
        metric=measured.rule.metric,
        kind=measured.kind,
        verdict=verdict,
        hits=measured.hits,
        n=measured.n,
        own_before=measured.own_before,
        harm=measured.harm(),
        lower=lower,
        upper=upper,
        margin=measured.margin,
        p=p,
        level=level,
        more_devices=devices,
        more_of_bake=bakes,
    )


def _without(measured: Measured, look: Look) -> Finding:
    """Too few devices have a number. Before the bake's end that says nothing yet."""
    rule = measured.rule
    failed = look.last and rule.no_data is NoData.FAIL
    return Finding(
        metric=rule.metric,
        kind=measured.kind,
        verdict=Verdict.FAILED if failed else Verdict.INCONCLUSIVE,
        ignored=rule.no_data is NoData.IGNORE,
        n=measured.n,
        margin=measured.margin,
        more_devices=max(0, rule.min_devices_per_arm - measured.n[0]),
    )


def _missing(measured: Measured, upper: float) -> tuple[int, float]:
    """(more devices, more bakes) until the bound would be inside, if what is seen is the truth."""
    harm = measured.harm()
    if harm >= measured.margin:
        return 0, 0.0  # more of the same would not make it pass
    if measured.kind is Kind.RATIO:
        reach, room = math.log1p(upper) - math.log1p(harm), math.log1p(measured.margin) - math.log1p(harm)
    else:
        reach, room = upper - harm, measured.margin - harm
    factor = (reach / room) ** 2
    more = max(1, math.ceil(measured.n[0] * (factor - 1)))
    return more, 0.0 if measured.kind is Kind.RATE else max(0.0, factor - 1)


def _turned(stratum: Stratum, sign: float, kind: Kind) -> Stratum:
    if sign > 0:
        return stratum
    least = 1.0 if kind is Kind.RATE else 0.0
    return Stratum(
        name=stratum.name,
        treated=tuple(least - value for value in stratum.treated),
        control=tuple(least - value for value in stratum.control),
    )


def _table(stratum: Stratum) -> exact.Table:
    return exact.Table(
        _count(stratum.treated), len(stratum.treated), _count(stratum.control), len(stratum.control)
    )


def _count(values: Sequence[float]) -> int:
    return sum(value > 0.5 for value in values)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _significant(value: float) -> float:
    return float(f"{value:.4g}")
