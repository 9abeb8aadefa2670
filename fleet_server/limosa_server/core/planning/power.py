"""What a first wave can see, and what it cannot (rollouts 4, 5.0). docs/explanation/the-judge.md"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.abort import AbortRule, Failure
from limosa_contracts.rollout.analysis import ALPHA
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.judging.cohorts import ARM_MIN
from limosa_server.core.judging.exact import Table, binomial_tail, difference_bound
from limosa_server.core.judging.finding import share_margin
from limosa_server.core.judging.gate import MIN_EXECUTED_DEFAULT, wilson_lower
from limosa_server.core.judging.spending import Look, wave_share
from limosa_server.core.wording import devices

POWER: Final = 0.8  # "finds" means: in four of five rollouts
RISE: Final = (0.05, 0.10)  # the rise that the statement names as seen or not
SPREAD: Final = 0.15  # standard deviation of a device's log latency ratio to its own past (rollouts 5.2)
MANN_WHITNEY_EFFICIENCY: Final = 0.955  # against the t-test, for normal data


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """`finds_rate`: the least true failure rate that is found (POWER of the time), 0..1; None: none is.
    `finds_latency`: the least true ratio of latencies minus one; None without a comparison.
    `sees_rise`: the chance that a rise from RISE[0] to RISE[1] is found, 0..1."""

    judge: str  # criteria | compare
    canaries: int
    controls: int
    finds_rate: float | None
    finds_latency: float | None
    sees_rise: float
    sentence: str

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "judge": self.judge,
            "canaries": self.canaries,
            "controls": self.controls,
            "finds_rate": None if self.finds_rate is None else round(self.finds_rate, 4),
            "finds_latency": None if self.finds_latency is None else round(self.finds_latency, 4),
            "sees_rise": round(self.sees_rise, 4),
            "sentence": self.sentence,
        }


def power_of(spec: RolloutSpec, *, canaries: int, controls: int, group: int) -> Power:
    """What the first wave's gate finds; `controls` 0 is the judge `criteria`."""
    if canaries == 0:
        return Power(
            judge="criteria",
            canaries=0,
            controls=controls,
            finds_rate=None,
            finds_latency=None,
            sees_rise=0.0,
            sentence="the first wave is empty, so nothing is seen",
        )
    return _compare(spec, canaries, controls, group) if controls else _criteria(spec, canaries, group)


def _criteria(spec: RolloutSpec, n: int, group: int) -> Power:
    least = least_failures(spec, n, group)
    stop = least_failures(spec, group, group)

    def found(rate: float) -> float:
        return binomial_tail(least, n, rate) if least is not None else 0.0

    rate = _least(found)
    rise = found(RISE[1])
    parts = [f"criteria judge (no control cohort): {devices(n)} in the first wave"]
    if rate is None or least is None:
        parts.append("no failure of them stops it")
    else:
        parts[0] += f", {_failures(least)} it: finds a failure rate of ≥ {rate:.0%}"
        if rise < POWER:
            parts.append(f"cannot see {RISE[1]:.0%} ({_chance(rise)})")
    if n < group and stop is not None:
        parts.append(f"of all {group}, {_failures(stop)} it")
    if n < ARM_MIN or group - n < ARM_MIN:
        parts.append(few(n, group))
    return Power(
        judge="criteria",
        canaries=n,
        controls=0,
        finds_rate=rate,
        finds_latency=None,
        sees_rise=rise,
        sentence="; ".join(parts),
    )


def few(n: int, group: int) -> str:
    """The sentence of rollouts 5.0."""
    counted = group if group < 2 * ARM_MIN else n
    return (
        f"{devices(counted)} {'is' if counted == 1 else 'are'} too few for a comparison of two arms "
        f"({ARM_MIN} in each), so latency is judged on the device alone"
    )


def _compare(spec: RolloutSpec, n: int, m: int, group: int) -> Power:
    """At the levels of the judge itself, at the end of the first wave's bake. Counts alone stop it too."""
    look = Look(number=1, of=1, wave_share=wave_share(0, len(spec.waves)))
    by_counts = least_failures(spec, n, group)
    shared = [rule for rule in spec.analysis if not rule.critical]
    level = look.fail_level(min((rule.alpha for rule in shared), default=ALPHA)) / max(1, len(shared))
    pass_level = look.pass_level(ALPHA)
    hits = least_hits(n, m, level=level, pass_level=pass_level)
    least = min(by_counts or hits, hits)

    rate = _least(lambda p: binomial_tail(least, n, p))
    crashes = _least(lambda p: binomial_tail(hits, n, p))
    latency = _least_latency(spec, n, m, level=level, pass_level=pass_level)
    rise = binomial_tail(hits, n, RISE[1])
    finds = f"finds a failure rate of ≥ {rate:.0%}" if rate is not None else "finds no failure rate"
    parts = [
        f"{n} canaries against {m} controls: {finds}",
        *([f"crashes or errors on ≥ {crashes:.0%} of devices"] if crashes is not None else []),
        *([f"{latency:+.0%} latency"] if latency is not None else []),
    ]
    cannot = f"; cannot see {RISE[0]:.0%} → {RISE[1]:.0%} ({_chance(rise)})" if rise < POWER else ""
    return Power(
        judge="compare",
        canaries=n,
        controls=m,
        finds_rate=rate,
        finds_latency=latency,
        sees_rise=rise,
        sentence=", ".join(parts) + cannot,
    )


def least_hits(n: int, m: int, *, level: float, pass_level: float) -> int:
    """The least of n devices hit, and none of m controls, at which they are surely worse, and not surely
    within the margin; n + 1 for never.

    >>> least_hits(20, 80, level=0.0015, pass_level=0.02), least_hits(500, 500, level=0.0015, pass_level=0.02)
    (4, 21)
    """
    # With more hit both only become surer, so the least is found by halving.
    low, high = 1, n + 1
    while low < high:
        hit = (low + high) // 2
        within = difference_bound([Table(hit, n, 0, m)], pass_level, upper=True) < share_margin(n)
        if fisher(hit, n, 0, m) <= level and not within:
            high = hit
        else:
            low = hit + 1
    return low


def _least_latency(spec: RolloutSpec, n: int, m: int, *, level: float, pass_level: float) -> float | None:
    """The least true ratio minus one that is found: surely worse, and not surely within the margin; None
    where latency is not looked at."""
    margin = next((rule.margin for rule in spec.analysis if rule.metric == "latency"), None)
    if margin is None:
        return None
    normal = NormalDist()
    error = SPREAD * math.sqrt((1 / n + 1 / m) / MANN_WHITNEY_EFFICIENCY)
    sure = -normal.inv_cdf(level) * error
    outside = math.log1p(margin) + normal.inv_cdf(pass_level) * error
    return math.exp(max(sure, outside) + normal.inv_cdf(POWER) * error) - 1


def _failures(count: int) -> str:
    return "1 failure stops" if count == 1 else f"{count} failures stop"


def _chance(of: float) -> str:
    return f"finds it in {of:.0%} of rollouts"


def least_failures(spec: RolloutSpec, executed: int, group: int) -> int | None:
    """The least failures of `executed` devices that a rule or the success criterion stops at."""
    for failed in range(1, executed + 1):
        if (executed - failed) * 100 < spec.success.percent * executed - 1e-9:
            return failed
        if any(_fires(rule, failed, executed, group) for rule in spec.abort):
            return failed
    return None


def _fires(rule: AbortRule, failed: int, executed: int, group: int) -> bool:
    if rule.failure is Failure.SILENT:
        return False
    if rule.hard_stop_count is not None and failed >= rule.hard_stop_count:
        return True
    needed = rule.min_executed or min(MIN_EXECUTED_DEFAULT, group)
    return executed >= needed and wilson_lower(failed, executed, confidence=rule.confidence) > rule.threshold


def fisher(a: int, n: int, c: int, m: int) -> float:
    """One-sided p of `a` of n against `c` of m, both margins fixed: P(A >= a).

    >>> round(fisher(3, 3, 0, 3), 3)  # rollouts 5.0: the best that six devices give
    0.05
    """
    total = a + c
    top = min(n, total)
    whole = _log_choose(n + m, total)
    mode = n * total / (n + m)
    p = 0.0
    for i in range(max(a, total - m), top + 1):
        term = math.exp(_log_choose(n, i) + _log_choose(m, total - i) - whole)
        p += term
        if i > mode and term < 1e-17 * p:
            break  # beyond the mode the terms only fall
    return min(1.0, p)


def _least(found: Callable[[float], float], *, low: float = 0.0) -> float | None:
    """The least rate that is found with POWER, to a thousandth."""
    if found(1.0) < POWER:
        return None
    high = 1.0
    while high - low > 0.0005:
        middle = (low + high) / 2
        if found(middle) >= POWER:
            high = middle
        else:
            low = middle
    return high


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
