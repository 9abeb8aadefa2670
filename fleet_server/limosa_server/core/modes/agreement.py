"""Whether a challenger agrees well enough with the version that answers (rollouts 6). Pure.

Rows of one device are alike, so the device is the unit (rollouts 5.2): what the devices differ by says how
many independent rows all of them are worth (a ratio of sums, linearised: Cochran, Sampling Techniques, 2.11),
and Wilson's interval is that of so many. Too little data is never a pass (5.4).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Self

from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.modes import Shadow
from limosa_server.core.judging import student
from limosa_server.core.judging.judge import Decision, Verdict
from limosa_server.core.wording import devices

KIND = "shadow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one device compared, in rows."""

    device: str
    compared: int
    disagreed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Sums over devices that compared any row, of c rows compared and d that disagree: all that a verdict
    needs, and all that a tick reads."""

    devices: int = 0
    rows: int = 0
    disagreed: int = 0
    dd: float = 0.0
    dc: float = 0.0
    cc: float = 0.0

    @classmethod
    def of(cls, seen: Iterable[Seen]) -> Self:
        some = [one for one in seen if one.compared > 0]
        return cls(
            devices=len(some),
            rows=sum(one.compared for one in some),
            disagreed=sum(one.disagreed for one in some),
            dd=float(sum(one.disagreed**2 for one in some)),
            dc=float(sum(one.disagreed * one.compared for one in some)),
            cc=float(sum(one.compared**2 for one in some)),
        )


NOTHING: Final = Moments()


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """Share of compared rows answered alike, with its one-sided bounds, 0..1; devices that compared any."""

    rows: int
    disagreed: int
    devices: int
    share: float
    lower: float
    upper: float

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "rows": self.rows,
            "disagreed": self.disagreed,
            "devices": self.devices,
            "agreement": round(self.share, 6),
            "lower_bound": round(self.lower, 6),
            "upper_bound": round(self.upper, 6),
        }


def agreed(seen: Moments, *, confidence: float) -> Agreed:
    """Of no rows nothing is known: 0 to 1.

    >>> one = agreed(Moments.of([Seen(device="d", compared=1000, disagreed=10)]), confidence=0.95)
    >>> (one.share, round(one.lower, 3), round(one.upper, 3))
    (0.99, 0.983, 0.994)
    """
    if not seen.rows:
        return Agreed(rows=0, disagreed=0, devices=0, share=0.0, lower=0.0, upper=1.0)
    share = 1 - seen.disagreed / seen.rows
    as_many = _effective_rows(seen, confidence)
    return Agreed(
        rows=seen.rows,
        disagreed=seen.disagreed,
        devices=seen.devices,
        share=share,
        lower=_wilson(share, as_many, confidence),
        upper=1.0 - _wilson(1 - share, as_many, confidence),
    )


def _effective_rows(seen: Moments, confidence: float) -> float:
    """Independent rows that would leave as much doubt as these, at most all; the t quantile of so many
    devices is in it (E. L. Korn and B. I. Graubard, Survey Methodology 24, 1998)."""
    p, k = seen.disagreed / seen.rows, seen.devices
    if k < 2 or not 0 < p < 1:
        return seen.rows
    spread = seen.dd - 2 * p * seen.dc + p * p * seen.cc  # sum of (d - p·c)²
    if spread <= 1e-9 * seen.dd:
        return seen.rows
    variance = k / (k - 1) * spread / seen.rows**2
    normal, wider = NormalDist().inv_cdf(confidence), student.quantile(confidence, k - 1)
    return min(float(seen.rows), p * (1 - p) / variance * (normal / wider) ** 2)


def _wilson(share: float, n: float, confidence: float) -> float:
    """One-sided lower bound of a share of `n` rows; n need not be whole (E. B. Wilson, JASA 22, 1927)."""
    z2 = NormalDist().inv_cdf(confidence) ** 2
    spread = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n)))
    return min(share, max(0.0, (share + z2 / (2 * n) - spread) / (1 + z2 / n)))


def judge_agreement(shadow: Shadow, seen: Moments, *, wave: int, name: str) -> tuple[Verdict, Decision]:
    """The gate of one wave of challengers, by the interval against what is asked for."""
    found = agreed(seen, confidence=shadow.confidence)
    verdict, why = _weigh(shadow, found)
    told = (
        f"{found.share:.2%} of {found.rows:,} rows on {devices(found.devices)} answered alike"
        if found.rows
        else "no row was compared"
    )
    numbers: dict[str, JsonValue] = {
        "wave": wave,
        **found.as_json(),
        "needed": shadow.agreement,
        "confidence": shadow.confidence,
        "min_rows": shadow.min_rows,
    }
    return verdict, Decision(
        kind=KIND,
        verdict=verdict.value,
        sentence=f"wave {name}: {told}; {why}",
        numbers=numbers,
        wave=wave,
    )


def _weigh(shadow: Shadow, found: Agreed) -> tuple[Verdict, str]:
    needed = f"{shadow.agreement:.2%} is needed"
    if found.rows < shadow.min_rows:
        return Verdict.INCONCLUSIVE, f"{shadow.min_rows - found.rows:,} rows more are needed"
    if found.upper < shadow.agreement:
        return Verdict.FAILED, f"at most {found.upper:.2%} with {shadow.confidence:.0%} confidence, {needed}"
    if found.lower >= shadow.agreement:
        return Verdict.PASSED, f"at least {found.lower:.2%} with {shadow.confidence:.0%} confidence, {needed}"
    between = f"between {found.lower:.2%} and {found.upper:.2%}, {needed}"
    return Verdict.INCONCLUSIVE, f"{between}: more devices or more rows would tell"
