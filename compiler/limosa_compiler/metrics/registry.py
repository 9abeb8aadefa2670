"""Metrics by their names in a recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from limosa_compiler.arrays import Array
from limosa_compiler.errors import UnknownMetric
from limosa_compiler.external.entry_point import PREFIX, EntryPoint
from limosa_compiler.metrics.classes import ACCURACY, MACRO_F1, top_k
from limosa_compiler.metrics.detection import MAP
from limosa_compiler.metrics.metric import Metric
from limosa_compiler.metrics.numbers import COSINE, RMSE, SQNR
from limosa_compiler.metrics.own import own_metric
from limosa_compiler.metrics.texts import error_rate

_TOP: Final = re.compile(r"top([2-9]|[1-9]\d)")
_RATES: Final = ("cer", "wer")
METRICS: Final[Mapping[str, Metric]] = {
    metric.name: metric
    for metric in (
        ACCURACY,
        MACRO_F1,
        top_k(5),
        MAP,
        RMSE,
        *(error_rate(name, ()) for name in _RATES),
        COSINE,
        SQNR,
    )
}
METRIC_NAMES: Final = tuple(METRICS)


def metric_named(name: str, *, classes: Sequence[str] = ()) -> Metric:
    """`classes` is the alphabet of cer and wer. Raises UnknownMetric, EntryPointFailed, MetricFailed."""
    if name in _RATES:
        return error_rate(name, classes)
    if name in METRICS:
        return METRICS[name]
    if top := _TOP.fullmatch(name):
        return top_k(int(top[1]))
    if name.startswith(PREFIX):
        return own_metric(EntryPoint.parse(name, where="metric.name"))
    near = get_close_matches(name, METRIC_NAMES, n=1)
    known = f"metrics: {', '.join(METRIC_NAMES)}, {PREFIX}package.module:function"
    raise UnknownMetric(
        f"there is no metric {name!r}",
        where="metric.name",
        hint=f"did you mean {near[0]!r}? {known}" if near else known,
    )


def check_labels(metric: Metric, answers: Array, labels: Array, *, where: str) -> None:
    """Raises DataMismatch if these labels cannot be compared with these answers."""
    metric.check(answers, labels, where)
