"""Divides devices into waves (rollouts 1, 4)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

from limosa_contracts.rollout.waves import DEFAULT_WAVES, WaveSpec

MIN_CANARY_DEVICES = 20  # rollouts 4; at most a fifth of the group, so that a small one has a canary
CANARY_SHARE = 5


def wave_order(devices: Mapping[str, bool], *, salt: str) -> list[str]:
    """Devices in the order of a hash that changes per rollout, so that no site is always the guinea pig
    (rollouts 5.1); those that can be reached (True) come first, so that a canary can sing."""
    return sorted(
        devices, key=lambda name: (not devices[name], hashlib.sha256(f"{salt}/{name}".encode()).digest())
    )


def fitting(waves: Sequence[WaveSpec], devices: int) -> tuple[WaveSpec, ...]:
    """Waves that nobody wrote down fit a fleet of the first day: without those that would have no device.
    What somebody wrote down stays as it is.

    >>> [[wave.name for wave in fitting(DEFAULT_WAVES, devices)] for devices in (1, 2, 3)]
    [['rest'], ['canary', 'rest'], ['canary', 'half', 'rest']]
    """
    if tuple(waves) != DEFAULT_WAVES or not 0 < devices < len(DEFAULT_WAVES):
        return tuple(waves)
    canary, _, rest = DEFAULT_WAVES
    return (rest,) if devices == 1 else (canary, rest)


def divide(
    order: Sequence[str], labels: Mapping[str, Mapping[str, str]], waves: Sequence[WaveSpec]
) -> list[list[str]]:
    """Devices of each wave; the last takes the rest. A wave may come out empty: the caller refuses it.

    >>> from limosa_contracts.rollout.waves import DEFAULT_WAVES, WaveSpec
    >>> first = WaveSpec(name="a", percent=1, min_devices=1)
    >>> specs = [first, WaveSpec(name="b", percent=10), WaveSpec(name="c")]
    >>> [len(wave) for wave in divide([str(i) for i in range(1000)], {}, specs)]
    [10, 90, 900]
    """
    left = list(order)
    result: list[list[str]] = []
    for i, spec in enumerate(waves):
        if i == len(waves) - 1:
            taken = left
        elif spec.selector is not None:
            taken = [name for name in left if spec.selector.matches(labels.get(name, {}))]
        else:
            taken = left[: _size(spec, len(order), len(order) - len(left), first=i == 0)]
        result.append(taken)
        gone = set(taken)
        left = [name for name in left if name not in gone]
    return result


def _size(spec: WaveSpec, group: int, so_far: int, *, first: bool) -> int:
    if spec.count is not None:
        return max(spec.count, spec.min_devices or 1)
    least = spec.min_devices
    if least is None:
        least = max(1, min(MIN_CANARY_DEVICES, group // CANARY_SHARE)) if first else 1
    return max(math.ceil(group * (spec.percent or 100.0) / 100 - 1e-9) - so_far, least)
