"""A fleet to judge: devices that differ, drift, sleep half of the time and share their site's weather.

One `World` is one wave: treated devices and controls, hour by hour, before and during the bake. `Harm` is
what the new version does. What the server would read is what `samples` gives: latency only through the
buckets of a window, one number per device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from limosa_contracts.window import LATENCY_EDGES_US
from limosa_server.core.judging.samples import Sample, Stratum

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
BAKE_H: Final = 24
HOURS: Final = BAKE_H * 3  # before, bake, and the bake once more
PER_HOUR: Final = 30  # inferences of a device that is awake
SITES: Final = 8
STEP: Final = math.log(LATENCY_EDGES_US[1] / LATENCY_EDGES_US[0])
LOW: Final = math.log(LATENCY_EDGES_US[0])
PROFILES: Final = 2
SPREAD: Final = 0.2  # of the logarithms of one device's inferences in an hour
USUAL: Final = {"failures": 0.02, "crashes": 0.015, "silence": 0.03, "errors": 0.01, "refused": 0.005}
"""Shares of devices on which it happens within a bake, whatever the version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """`rates`: more devices on which it happens, as shares; `latency`, `memory`: factors."""

    name: str = "none"
    rate: str = ""
    more: float = 0.0
    latency: float = 1.0
    memory: float = 1.0
    distance: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """`latency`: device × hour, mean logarithm as told by the buckets, NaN asleep. `happened`: per rate,
    the hour of the bake in which it first happened, infinite for never. Treated devices come first."""

    treated: int
    stratum: np.ndarray[Any, np.dtype[np.int64]]
    latency: Numbers
    happened: dict[str, Numbers]
    memory: Numbers
    distance: Numbers
    failed: Numbers  # inferences, device × hour
    awake: np.ndarray[Any, np.dtype[np.bool_]]

    @property
    def devices(self) -> int:
        return len(self.stratum)

    def samples(self, until_h: float) -> tuple[Sample, ...]:
        """What is known `until_h` hours into the bake."""
        rates = tuple(
            self._sample(name, (self.happened[name] <= until_h).astype(float))
            for name in sorted(self.happened)
        )
        before = _mean(self.latency[:, :BAKE_H])
        since = _mean(self.latency[:, BAKE_H : BAKE_H + math.ceil(until_h)])
        return (
            *rates,
            self._sample("latency", since - before, own=True),
            self._sample("memory", np.where(np.isnan(since), np.nan, self.memory), own=True),
            self._sample("class_distance", np.where(np.isnan(since), np.nan, self.distance), own=True),
        )

    def _sample(self, metric: str, values: Numbers, *, own: bool = False) -> Sample:
        strata = []
        told = ~np.isnan(values)
        is_treated = np.arange(self.devices) < self.treated
        for stratum in range(int(self.stratum.max()) + 1):
            here = told & (self.stratum == stratum)
            strata.append(
                Stratum(
                    name=str(stratum),
                    treated=tuple(np.round(values[here & is_treated], 6).tolist()),
                    control=tuple(np.round(values[here & ~is_treated], 6).tolist()),
                )
            )
        return Sample(metric=metric, strata=tuple(strata), own_before=own)


def make_world(rng: np.random.Generator, treated: int, control: int, harm: Harm) -> World:
    """A wave of devices drawn at random, as a cohort is (rollouts 5.1)."""
    n = treated + control
    is_treated = np.arange(n) < treated
    site = rng.integers(0, SITES, n)
    stratum = rng.integers(0, PROFILES, n)
    awake = _awake(rng, n)
    return World(
        treated=treated,
        stratum=stratum,
        latency=_latency(rng, site, stratum, awake, is_treated, harm),
        happened=_happened(rng, is_treated, harm),
        memory=rng.normal(0.0, 0.03, n) + np.where(is_treated, math.log(harm.memory), 0.0),
        distance=rng.gamma(2.0, 0.015, n) + 0.05 + np.where(is_treated, harm.distance, 0.0),
        failed=_failed(rng, awake, is_treated, harm),
        awake=awake,
    )


def _awake(rng: np.random.Generator, n: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Half of the devices are away half of the time, for six hours on average."""
    sleeper = rng.random(n) < 0.5
    awake = np.ones((n, HOURS), dtype=bool)
    now = rng.random(n) < 0.5
    for hour in range(HOURS):
        now = np.where(rng.random(n) < 1 / 6, ~now, now)
        awake[:, hour] = now | ~sleeper
    return awake


def _latency(
    rng: np.random.Generator,
    site: np.ndarray[Any, np.dtype[np.int64]],
    stratum: np.ndarray[Any, np.dtype[np.int64]],
    awake: np.ndarray[Any, np.dtype[np.bool_]],
    is_treated: np.ndarray[Any, np.dtype[np.bool_]],
    harm: Harm,
) -> Numbers:
    """Devices differ by a factor of 1.5, hours of one device go together (.9), sites have weather."""
    n = len(site)
    level = math.log(8000) + rng.normal(0, 0.4, n) + 0.5 * stratum + rng.normal(0, 0.15, SITES)[site]
    hourly = np.empty((n, HOURS))
    state = rng.normal(0, 0.12, n)
    for hour in range(HOURS):
        state = 0.9 * state + rng.normal(0, 0.12 * math.sqrt(1 - 0.81), n)
        hourly[:, hour] = state
    bake = np.arange(HOURS) >= BAKE_H
    weather = rng.normal(0, 0.06, SITES)[site][:, None] + 0.08 + rng.normal(0, 0.05, n)[:, None]
    centre = level[:, None] + hourly + bake * weather
    centre = centre + (bake & is_treated[:, None]) * math.log(harm.latency)
    return np.where(awake, _told_by_buckets(rng, centre), np.nan)


def _told_by_buckets(rng: np.random.Generator, centre: Numbers) -> Numbers:
    """Mean logarithm of PER_HOUR inferences around `centre`, each known by its bucket's middle."""
    single = rng.standard_normal((*centre.shape, PER_HOUR), dtype=np.float32)
    single *= SPREAD / STEP
    single += ((centre - LOW) / STEP)[:, :, None].astype(np.float32)
    np.ceil(single, out=single)
    result: Numbers = (single.mean(axis=2, dtype=np.float64) - 0.5) * STEP + LOW
    return result


def _happened(
    rng: np.random.Generator, is_treated: np.ndarray[Any, np.dtype[np.bool_]], harm: Harm
) -> dict[str, Numbers]:
    n = len(is_treated)
    # A few devices are behind most of what happens: a tenth of them is ten times as likely to be hit.
    prone = np.where(rng.random(n) < 0.1, 10.0, 1.0)
    prone /= 0.1 * 10 + 0.9
    found = {}
    for name, usual in USUAL.items():
        share = np.minimum(0.9, usual * prone) if name != "failures" else usual * is_treated
        when = np.where(rng.random(n) < share, rng.random(n) * BAKE_H, np.inf)
        if name == "failures":
            when = np.where(np.isinf(when), when, 0.0)  # updates are over when the bake begins
        if harm.rate == name:
            hit = is_treated & (rng.random(n) < harm.more)
            when = np.where(hit, np.minimum(when, 0.0 if name == "failures" else rng.random(n) * 4), when)
        found[name] = when
    return found


def _failed(
    rng: np.random.Generator,
    awake: np.ndarray[Any, np.dtype[np.bool_]],
    is_treated: np.ndarray[Any, np.dtype[np.bool_]],
    harm: Harm,
) -> Numbers:
    """Inferences that failed, for the rules that pool them; devices differ in how often theirs do."""
    n = len(is_treated)
    share = rng.gamma(0.3, 0.01, n)[:, None] * np.ones(HOURS)
    if harm.rate == "errors":
        hit = is_treated & (rng.random(n) < harm.more)
        share[:, BAKE_H:] += 0.10 * hit[:, None]
    result: Numbers = rng.binomial(PER_HOUR, np.minimum(share, 1.0)).astype(float) * awake
    return result


def _mean(hours: Numbers) -> Numbers:
    told = ~np.isnan(hours)
    count = told.sum(axis=1)
    total = np.where(told, hours, 0.0).sum(axis=1)
    result: Numbers = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return result
