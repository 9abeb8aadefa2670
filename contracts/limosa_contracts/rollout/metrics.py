"""What a comparison may look at: each metric's name, kind, unit and its careful defaults (rollouts 5.3).

A metric gives one number per device and arm: 0 or 1 for a rate, a natural logarithm for a ratio, a
distance in 0..1. Whatever can give that enters by a row here and a reader on the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Kind(Enum):
    RATE = "rate"
    """Share of devices on which it happened: exact tests on device counts."""
    RATIO = "ratio"
    """Logarithm of a positive quantity, less its own before where there is one: ranks."""
    DISTANCE = "distance"
    """A distance from what the device itself did before: ranks."""


class Direction(Enum):
    """Which way is worse."""

    UP = "up"
    DOWN = "down"


class NoData(Enum):
    """What too few devices with a number mean. Never a pass (rollouts 5.4)."""

    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    IGNORE = "ignore"
    """The metric is left out, and the sentence says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`margin`: the harm that may remain: a share of devices, a share of the quantity (0.2 = +20 %), a
    distance. None: by how many devices there are. `floor`: harm up to it is never a reason to fail."""

    name: str
    means: str
    kind: Kind
    margin: float | None = None
    floor: float = 0.0
    critical: bool = False
    no_data: NoData = NoData.INCONCLUSIVE
    direction: Direction = Direction.UP
    default: bool = True  # part of a comparison whose file has no [[analysis]]


_ALL: Final = (
    Metric(
        name="failures",
        means="devices whose update failed, was refused, timed out or fell back",
        kind=Kind.RATE,
        floor=0.05,  # devices that stay cannot fail to update, so what is usual for updates is granted
        critical=True,
    ),
    Metric(
        name="crashes",
        means="devices on which the serving worker crashed or hung",
        kind=Kind.RATE,
    ),
    Metric(
        name="silence",
        means="devices not heard of for longer than is their habit",
        kind=Kind.RATE,
    ),
    Metric(
        name="errors",
        means="devices on which more inferences failed than before",
        kind=Kind.RATE,
    ),
    Metric(
        name="refused",
        means="devices on which more requests did not fit the schema than before",
        kind=Kind.RATE,
    ),
    Metric(
        name="latency",
        means="time of one run of the model, geometric mean",
        kind=Kind.RATIO,
        margin=0.20,
    ),
    Metric(
        name="memory",
        means="resident memory of the serving worker",
        kind=Kind.RATIO,
        margin=0.25,
        no_data=NoData.IGNORE,
    ),
    Metric(
        name="class_distance",
        means="how far the answers' classes are from what the device answered before",
        kind=Kind.DISTANCE,
        margin=0.10,
        no_data=NoData.IGNORE,
    ),
)
METRICS: Final[Mapping[str, Metric]] = {metric.name: metric for metric in _ALL}
