"""Prometheus' text format, version 0.0.4: metrics in, text out. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""  # `_bucket` and `_count` of a histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`kind` is gauge, counter or histogram; the name of a counter ends in `_total`."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]


def render(metrics: Iterable[Metric]) -> str:
    """Metrics without a sample are left out.

    >>> print(render([Metric(name="up", kind="gauge", help="Link.", samples=(Sample(value=1),))]), end="")
    # HELP up Link.
    # TYPE up gauge
    up 1
    """
    lines: list[str] = []
    for metric in metrics:
        if not metric.samples:
            continue
        lines.append(f"# HELP {metric.name} {metric.help}")
        lines.append(f"# TYPE {metric.name} {metric.kind}")
        for sample in metric.samples:
            labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
            name = f"{metric.name}{sample.suffix}{f'{{{labels}}}' if labels else ''}"
            lines.append(f"{name} {_number(sample.value)}")
    return "".join(f"{line}\n" for line in lines)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    """
    >>> _number(2.0), _number(0.25), _number(float("inf"))
    ('2', '0.25', '+Inf')
    """
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if float(value).is_integer() else repr(float(value))
