"""The difference that a release makes to a KPI, with the device as the unit (rollouts 5.2, 6). Pure.

Each device gives one number, the mean of its values; the arms are compared by Welch's t interval on these
(B. L. Welch, Biometrika 34, 1947). Values of one device are alike: an interval from all values taken as
independent is far too narrow. Where devices have values from before the test, what they differed by then is
taken out (Deng et al., CUPED, WSDM 2013).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from limosa_contracts.json_value import JsonValue
from limosa_server.core.judging import student
from limosa_server.core.modes.arms import CHALLENGER, CHAMPION

Floats: TypeAlias = npt.NDArray[np.float64]
BEFORE_SHARE: Final = 0.8
"""Of the devices with values, so many must have some from before; else nothing is taken out."""
BEFORE_MIN: Final = 10
"""Devices with both; with fewer the slope would be guessed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceValues:
    """Sums of one device in one arm. `before`: its mean before the test, None where it had no value."""

    device: str
    arm: str
    n: int
    total: float
    squares: float = 0.0
    before: float | None = None

    @property
    def mean(self) -> float:
        return self.total / self.n


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """`mean` is that of the devices' means; `between` their standard deviation; `n` all values."""

    devices: int
    n: int
    mean: float
    between: float

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "devices": self.devices,
            "values": self.n,
            "mean": _rounded(self.mean),
            "between_devices": _rounded(self.between),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Challenger less champion, in the KPI's unit, with a two-sided interval. `adjusted`: what the devices
    differed by before has been taken out; then the arms' plain means differ by something else."""

    champion: Arm
    challenger: Arm
    difference: float
    low: float
    high: float
    confidence: float
    p: float
    adjusted: bool

    @property
    def relative(self) -> float | None:
        """Of the champion's mean; None where that is zero."""
        return self.difference / abs(self.champion.mean) if self.champion.mean else None

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "champion": self.champion.as_json(),
            "challenger": self.challenger.as_json(),
            "difference": _rounded(self.difference),
            "low": _rounded(self.low),
            "high": _rounded(self.high),
            "relative": None if self.relative is None else _rounded(self.relative),
            "confidence": self.confidence,
            "p": _rounded(self.p),
            "adjusted": self.adjusted,
        }


def effect(values: Sequence[DeviceValues], *, confidence: float) -> Effect | None:
    """None where an arm has fewer than two devices with a value: no spread can be seen."""
    some = sorted((one for one in values if one.n > 0), key=lambda one: one.device)
    arms = {arm: [one for one in some if one.arm == arm] for arm in (CHAMPION, CHALLENGER)}
    if min(len(members) for members in arms.values()) < 2:
        return None
    numbers, adjusted = _numbers(some)
    of = {
        arm: np.array([number for one, number in zip(some, numbers, strict=True) if one.arm == arm])
        for arm in arms
    }
    plain = {arm: _arm(members) for arm, members in arms.items()}
    found = _welch(of[CHAMPION], of[CHALLENGER], confidence)
    return replace(found, champion=plain[CHAMPION], challenger=plain[CHALLENGER], adjusted=adjusted)


def devices_needed(found: Effect, *, worth: float) -> int | None:
    """In each arm, until the interval reaches no farther from its middle than a difference of `worth`, or the
    one seen if that is larger; None where neither is above zero."""
    target = max(worth, abs(found.difference))
    half = (found.high - found.low) / 2
    if not target or not half:
        return None
    now = min(found.champion.devices, found.challenger.devices)
    return math.ceil(now * max(1.0, (half / target) ** 2))


def _numbers(some: Sequence[DeviceValues]) -> tuple[list[float], bool]:
    """One number per device; and whether what they differed by before was taken out of it."""
    means = [one.mean for one in some]
    pairs = [(one.before, one.mean) for one in some if one.before is not None]
    if len(pairs) < max(BEFORE_MIN, BEFORE_SHARE * len(some)):
        return means, False
    before = np.array([x for x, _ in pairs])
    spread = float(before.var())
    if spread <= 0:
        return means, False
    slope = float(np.cov(before, np.array([y for _, y in pairs]), bias=True)[0, 1]) / spread
    centre = float(before.mean())
    # A device without a past is left as it is: its expected difference from the others' is nil.
    return [
        mean if one.before is None else mean - slope * (one.before - centre)
        for one, mean in zip(some, means, strict=True)
    ], True


def _arm(members: Sequence[DeviceValues]) -> Arm:
    means = np.array([one.mean for one in members])
    return Arm(
        devices=len(members),
        n=sum(one.n for one in members),
        mean=float(means.mean()),
        between=float(means.std(ddof=1)),
    )


def _welch(a: Floats, b: Floats, confidence: float) -> Effect:
    difference = float(b.mean() - a.mean())
    of_a, of_b = float(a.var(ddof=1)) / a.size, float(b.var(ddof=1)) / b.size
    error = math.sqrt(of_a + of_b)
    nothing = Arm(devices=0, n=0, mean=0.0, between=0.0)
    if error == 0.0:  # every device says the same: as sure as one can be
        low = high = difference
        p = 1.0 if difference == 0.0 else 0.0
    else:
        share = of_a / (of_a + of_b)
        freedom = 1 / (share**2 / (a.size - 1) + (1 - share) ** 2 / (b.size - 1))
        reach = student.quantile((1 + confidence) / 2, freedom) * error
        low, high = difference - reach, difference + reach
        p = 2 * student.tail(abs(difference) / error, freedom)
    return Effect(
        champion=nothing,
        challenger=nothing,
        difference=difference,
        low=low,
        high=high,
        confidence=confidence,
        p=p,
        adjusted=False,
    )


def _rounded(value: float) -> float:
    return float(f"{value:.9g}")
