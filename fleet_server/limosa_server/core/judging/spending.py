"""How the accepted risk is spent: over looks, over waves, over metrics (rollouts 5.5)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final, Self

import numpy as np

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

BAKE_SHARE: Final = 0.8  # of the risk; a bake that is extended spends the rest at its end
_GRID: Final = 401
_FAR: Final = 7.0  # standard deviations; beyond lies 1e-12 of the mass


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """`number` of `of` in a bake; `extension`: the one after the bake was doubled. `may_extend`: such a
    one may follow. `wave_share`: of the rollout's risk of a false stop, what this wave may spend."""

    number: int
    of: int
    extension: bool = False
    may_extend: bool = True
    wave_share: float = 1.0

    @property
    def last(self) -> bool:
        """At the end of a bake: only here can a wave pass."""
        return self.extension or self.number == self.of

    def fail_level(self, alpha: float) -> float:
        """Nominal level at which this look may stop, so that all looks together keep to `alpha`."""
        if self.extension:
            return alpha * self.wave_share * (1 - BAKE_SHARE)
        share = BAKE_SHARE if self.may_extend else 1.0
        return look_levels(self.of, alpha * self.wave_share * share)[self.number - 1]

    def pass_level(self, alpha: float) -> float:
        """Risk of a false pass that this look may take; a wave has one end of its bake, at most two."""
        if self.extension:
            return alpha * (1 - BAKE_SHARE)
        return alpha * BAKE_SHARE if self.may_extend else alpha

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "number": self.number,
            "of": self.of,
            "extension": self.extension,
            "may_extend": self.may_extend,
            "wave_share": self.wave_share,
        }

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField."""
        return cls(
            number=fields.integer("number", low=1, high=64),
            of=fields.integer("of", low=1, high=64),
            extension=fields.boolean("extension"),
            may_extend=fields.boolean("may_extend"),
            wave_share=fields.number("wave_share", low=1e-9, high=1.0),
        )


def wave_share(wave: int, waves: int) -> float:
    """Half of the risk on the first wave, half of what is left on each that follows, the rest on the last.

    >>> [wave_share(i, 3) for i in range(3)], wave_share(0, 1)
    ([0.5, 0.25, 0.25], 1.0)
    """
    return 0.5 ** min(wave + 1, waves - 1) if waves > 1 else 1.0


@lru_cache(maxsize=256)
def look_levels(looks: int, alpha: float) -> tuple[float, ...]:
    """Nominal one-sided levels of `looks` equally spaced looks that spend `alpha` in all.

    Spending 2 - 2Φ(z(alpha/2)/√t), shaped as O'Brien and Fleming's; boundaries by the recursion over
    Brownian increments. Numbers of one device go together over time more than such increments do, so
    the looks cost less than is computed here. Sources: Lan, DeMets, Biometrika 70 (1983); Armitage,
    McPherson, Rowe, JRSS A 132 (1969).

    >>> [round(level, 5) for level in look_levels(4, 0.025)]
    [1e-05, 0.00152, 0.00916, 0.022]
    """
    normal = NormalDist()
    z = normal.inv_cdf(1 - alpha / 2)
    spent = [2 * (1 - normal.cdf(z / math.sqrt((k + 1) / looks))) for k in range(looks)]
    step = math.sqrt(1 / looks)
    points, mass = np.zeros(1), np.ones(1)  # where the sum is, of those not stopped yet
    levels = []
    for k in range(looks):
        now = max(spent[k] - (spent[k - 1] if k else 0.0), 1e-15)
        bound = _bound(points, mass, step, now)
        levels.append(_tail(bound / math.sqrt((k + 1) / looks)))
        points, mass = _carry_on(points, mass, step, bound)
    return tuple(levels)


def _bound(points: np.ndarray, mass: np.ndarray, step: float, wanted: float) -> float:
    low, high = -_FAR, 2 * _FAR
    for _ in range(60):
        middle = (low + high) / 2
        beyond = math.fsum(
            float(m) * _tail((middle - float(u)) / step) for u, m in zip(points, mass, strict=True)
        )
        low, high = (middle, high) if beyond > wanted else (low, middle)
    return (low + high) / 2


def _carry_on(
    points: np.ndarray, mass: np.ndarray, step: float, bound: float
) -> tuple[np.ndarray, np.ndarray]:
    """The next sum's distribution below `bound`, on a grid (trapezoids)."""
    grid = np.linspace(-_FAR, bound, _GRID)
    away = (grid[:, None] - points[None, :]) / step
    density = (np.exp(-away * away / 2) / (step * math.sqrt(2 * math.pi))) @ mass
    width = np.full(_GRID, grid[1] - grid[0])
    width[0] = width[-1] = width[0] / 2
    return grid, density * width


def _tail(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2))


def holm(p_values: Mapping[str, float], level: float) -> dict[str, float]:
    """The level at which each is to be judged, by Holm's steps; 0.0 from the first that holds on.

    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979).

    >>> holm({"a": 0.001, "b": 0.02, "c": 0.5}, 0.05)
    {'a': 0.016666666666666666, 'b': 0.025, 'c': 0.05}
    >>> holm({"a": 0.03, "b": 0.04}, 0.05)
    {'a': 0.025, 'b': 0.0}
    """
    levels: dict[str, float] = {}
    stopped = False
    for place, name in enumerate(sorted(p_values, key=lambda one: (p_values[one], one))):
        levels[name] = 0.0 if stopped else level / (len(p_values) - place)
        stopped = stopped or p_values[name] > levels[name]
    return {name: levels[name] for name in p_values}
