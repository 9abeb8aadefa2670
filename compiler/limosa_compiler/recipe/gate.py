"""`[gate]` and `prefer` of a recipe: what a candidate must hold, and which of those that do is best."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

POINTS_MAX: Final = 100.0
BYTES_MAX: Final = 2**50
RATIO_MAX: Final = 1000.0
LOAD_MS_MAX: Final = 3.6e6
_LEAST: Final = 1e-9  # a bound of nothing can be met by nothing, and is refused


class Prefer(Enum):
    """Of those that meet the gate."""

    SIZE = "size"
    LATENCY = "latency"
    ACCURACY = "accuracy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a candidate must hold to be shipped; None is no bound.

    `max_loss_points`: points of the metric that it may lose against fp32; `min_metric`: least value of
    the metric itself (greatest, where lower is better); `max_slice_loss_points`: the same as the first,
    on every slice that has rows enough.
    """

    max_loss_points: float = 1.0
    min_metric: float | None = None
    max_slice_loss_points: float | None = None
    max_size_bytes: int | None = None  # of the model
    max_size_ratio: float | None = None  # of fp32's size
    max_latency_ratio: float | None = None  # of fp32's time, measured in turns
    max_memory_bytes: int | None = None  # peak, above what the runtime alone takes
    max_load_ms: float | None = None

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField: an unknown key with its nearest, and bounds that nothing can meet."""
        gate = cls(
            max_loss_points=fields.optional(
                "max_loss_points", lambda n: fields.number(n, low=0, high=POINTS_MAX), 1.0
            ),
            min_metric=fields.maybe("min_metric", fields.number),
            max_slice_loss_points=fields.maybe(
                "max_slice_loss_points", lambda n: fields.number(n, low=0, high=POINTS_MAX)
            ),
            max_size_bytes=fields.maybe("max_size_bytes", lambda n: fields.integer(n, low=1, high=BYTES_MAX)),
            max_size_ratio=_ratio(fields, "max_size_ratio"),
            max_latency_ratio=_ratio(fields, "max_latency_ratio"),
            max_memory_bytes=fields.maybe(
                "max_memory_bytes", lambda n: fields.integer(n, low=1, high=BYTES_MAX)
            ),
            max_load_ms=fields.maybe("max_load_ms", lambda n: fields.number(n, low=_LEAST, high=LOAD_MS_MAX)),
        )
        fields.refuse_rest()
        return gate

    def as_json(self) -> dict[str, JsonValue]:
        """Bounds that are not set are left out, but for those that every gate has had from the first."""
        more: dict[str, JsonValue] = {
            "max_slice_loss_points": self.max_slice_loss_points,
            "max_size_bytes": self.max_size_bytes,
            "max_size_ratio": self.max_size_ratio,
            "max_latency_ratio": self.max_latency_ratio,
            "max_memory_bytes": self.max_memory_bytes,
            "max_load_ms": self.max_load_ms,
        }
        return {
            "max_loss_points": self.max_loss_points,
            "min_metric": self.min_metric,
            **{name: bound for name, bound in more.items() if bound is not None},
        }


def parse_prefer(fields: Fields) -> Prefer:
    """Raises InvalidField."""
    names = tuple(item.value for item in Prefer)
    return fields.optional("prefer", lambda n: Prefer(fields.choice(n, names)), Prefer.SIZE)


def _ratio(fields: Fields, name: str) -> float | None:
    return fields.maybe(name, lambda n: fields.number(n, low=_LEAST, high=RATIO_MAX))
