"""Rules of thumb beside the judge, on the same worlds: each says whether it would stop the release."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import numpy as np

from benchmarks.judge_fleet import BAKE_H, PER_HOUR, World
from limosa_server.core.judging.exact import Table, surely_more
from limosa_server.core.judging.ranks import Pair, surely_larger

Rule: TypeAlias = Callable[[World], bool]


def pooled(world: World) -> bool:
    """z-tests over all inferences of both arms, one for latency and one for errors, at .05."""
    bake = slice(BAKE_H, 2 * BAKE_H)
    arms = (slice(0, world.treated), slice(world.treated, None))
    means, sizes, failed = [], [], []
    for arm in arms:
        hours = world.latency[arm, bake]
        sizes.append(int(world.awake[arm, bake].sum()) * PER_HOUR)
        means.append(float(np.nanmean(hours)))
        failed.append(float(world.failed[arm, bake].sum()))
    spread = float(np.nanstd(world.latency[:, bake]))
    z = (means[0] - means[1]) / (spread * math.sqrt(1 / sizes[0] + 1 / sizes[1]))
    share = sum(failed) / sum(sizes)
    if share == 0:
        return z > 1.645
    error = math.sqrt(share * (1 - share) * (1 / sizes[0] + 1 / sizes[1]))
    return max(z, (failed[0] / sizes[0] - failed[1] / sizes[1]) / error) > 1.645


def ten_percent(world: World) -> bool:
    """At least 10 % failed, asked after every device from the tenth on."""
    bad = np.cumsum(np.isfinite(world.happened["failures"][: world.treated]))
    done = np.arange(1, world.treated + 1)
    return bool(np.any((bad / done >= 0.10)[9:]))


def hourly(world: World) -> bool:
    """Devices compared as they should be, but at .05 in every hour, and every metric by itself."""
    return any(_hour(world, hour) for hour in range(1, BAKE_H + 1))


def _hour(world: World, hour: int) -> bool:
    for when in world.happened.values():
        hit = when <= hour
        mine, theirs = int(hit[: world.treated].sum()), int(hit[world.treated :].sum())
        if surely_more([Table(mine, world.treated, theirs, world.devices - world.treated)]) < 0.05:
            return True
    since = world.latency[:, BAKE_H : BAKE_H + hour]
    told = ~np.isnan(since).all(axis=1)
    values = np.where(told, np.nansum(since, axis=1) / np.maximum(1, (~np.isnan(since)).sum(axis=1)), np.nan)
    treated, control = values[: world.treated], values[world.treated :]
    pair = Pair.of(treated[~np.isnan(treated)].tolist(), control[~np.isnan(control)].tolist())
    return surely_larger([pair]) < 0.05


def kayenta(world: World) -> bool:
    """Mann-Whitney over hourly means of the arms at .01, a score of the metrics that did not rise; below
    75 of 100 it stops. What has no number counts as passed."""
    bake = slice(BAKE_H, 2 * BAKE_H)
    latency = Pair.of(
        np.nanmean(world.latency[: world.treated, bake], axis=0).tolist(),
        np.nanmean(world.latency[world.treated :, bake], axis=0).tolist(),
    )
    failed = Pair.of(
        world.failed[: world.treated, bake].mean(axis=0).tolist(),
        world.failed[world.treated :, bake].mean(axis=0).tolist(),
    )
    passed = sum(surely_larger([pair]) >= 0.01 for pair in (latency, failed))
    return passed / 2 < 0.75


def flagger(world: World) -> bool:
    """Each hour: success of at least 99 %, and latency within 1.2 of yesterday's; five misses stop it."""
    before = math.log(1.2) + float(np.nanmean(world.latency[: world.treated, :BAKE_H]))
    misses = 0
    for hour in range(BAKE_H, 2 * BAKE_H):
        n = int(world.awake[: world.treated, hour].sum()) * PER_HOUR
        good = 1 - float(world.failed[: world.treated, hour].sum()) / max(1, n)
        misses += good < 0.99 or float(np.nanmean(world.latency[: world.treated, hour])) > before
    return misses >= 5


RULES: Final[Mapping[str, Rule]] = {
    "pooled z-test": pooled,
    ">= 10 % after 10": ten_percent,
    "hourly at .05": hourly,
    "Kayenta-like": kayenta,
    "Flagger-like": flagger,
}
