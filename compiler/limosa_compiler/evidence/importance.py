"""Permutation importance: what the metric loses when one feature is dealt to other rows (compiler 6.4).

Source: L. Breiman, "Random Forests" (2001), section 10; the model is not trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import numpy as np

from limosa_compiler.arrays import Array, Arrays
from limosa_compiler.artifact.monitored import channel_axis
from limosa_compiler.data import Rows
from limosa_compiler.data.spooled import spooled
from limosa_compiler.evidence.parts import FeatureImportance
from limosa_compiler.limits import LIMITS
from limosa_compiler.measuring.columns import columns_in_turn
from limosa_compiler.metrics import Doubles, Metric, difference_points

ROWS_MAX: Final = 512
SECONDS_MAX: Final = 10.0  # of predicted time: fewer rows where the model is slow
BYTES_MAX: Final = 64 * 1024 * 1024  # of inputs, of which one is copied
ROWS_MIN: Final = 20
SEED: Final = 20_020_101
_WHOLE: Final = -1

Answer: TypeAlias = Callable[[Arrays], Iterable[Array]]
"""What is answered to rows [N, ...]: [n, ...] some at a time, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A column of [N, F], a channel of [N, C, …], or all of an input that is too wide for columns."""

    input: str
    name: str
    channel: int


def rows_for(rows: Rows, *, features: int, row_us: float) -> Rows:
    """The first rows, as many as `SECONDS_MAX` lets through the model once per feature (views)."""
    affordable = int(SECONDS_MAX * 1e6 / max(row_us * (features + 1), 1e-3))
    row_bytes = sum(array[:1].nbytes for array in rows.inputs.values())
    most = min(ROWS_MAX, affordable, BYTES_MAX // max(1, row_bytes))
    return rows.first(min(rows.count, max(ROWS_MIN, most)))


def features_to_permute(
    inputs: Arrays, channels: Mapping[str, Sequence[str]], *, whole: bool = False
) -> tuple[Feature, ...]:
    """In the order of inputs; `channels` are the recipe's names for them. `whole`: no parts of inputs."""
    if whole:
        return tuple(Feature(input=name, name=f"{name} (all)", channel=_WHOLE) for name in inputs)
    return tuple(
        feature
        for name, array in inputs.items()
        for feature in _features(name, array, channels.get(name, ()))
    )


def permutation_importance(
    answer: Answer, rows: Rows, features: Sequence[Feature], *, metric: Metric
) -> tuple[FeatureImportance, ...]:
    """One entry per feature, largest loss first. The same rows and answers give the same numbers."""
    if rows.labels is None or not features:
        return ()
    pairs: Iterator[tuple[Feature, Doubles, Doubles]]
    if metric.by_row:
        columns = partial(columns_in_turn, metric, labels=rows.labels, who="importance")
        before = columns(answer(rows.inputs))
        pairs = ((feature, before, columns(answer(inputs))) for feature, inputs in _permuted(rows, features))
    else:
        pairs = _at_once(answer, rows, features, metric)
    found = [_measured(feature, metric, before, after) for feature, before, after in pairs]
    return tuple(sorted(found, key=lambda item: (-item.points, item.input, item.feature)))


def _at_once(
    answer: Answer, rows: Rows, features: Sequence[Feature], metric: Metric
) -> Iterator[tuple[Feature, Doubles, Doubles]]:
    """Columns of both at once: where a metric has one per class, both then have the same ones."""
    assert rows.labels is not None, "asked for with labels only"
    labels = np.concatenate([rows.labels, rows.labels])
    before = spooled(answer(rows.inputs))
    for feature, permuted in _permuted(rows, features):
        both = metric.columns(np.concatenate([before, *answer(permuted)]), labels)
        yield feature, both[: rows.count], both[rows.count :]


def _features(name: str, array: Array, names: Sequence[str]) -> Iterator[Feature]:
    width = array.shape[channel_axis(array.shape)] if array.ndim > 1 else 0
    if not 0 < width <= LIMITS.features_per_tensor_max:
        yield Feature(input=name, name=f"{name} (all)", channel=_WHOLE)
        return
    for channel in range(width):
        known = names[channel] if channel < len(names) else f"{name}[{channel}]"
        yield Feature(input=name, name=known, channel=channel)


def _permuted(rows: Rows, features: Sequence[Feature]) -> Iterator[tuple[Feature, Arrays]]:
    """One order of rows for all features, so that they are compared on the same exchange."""
    order = np.random.default_rng(SEED).permutation(rows.count)
    for feature in features:
        array = rows.inputs[feature.input].copy()
        if feature.channel == _WHOLE:
            array = array[order]
        else:
            channels = np.moveaxis(array, channel_axis(array.shape), 1)  # a view
            channels[:, feature.channel] = channels[order, feature.channel]
        yield feature, {**rows.inputs, feature.input: array}


def _measured(feature: Feature, metric: Metric, before: Doubles, after: Doubles) -> FeatureImportance:
    gained = difference_points(metric, after, before)
    points = float(metric.points(np.asarray(metric.of(after)), np.asarray(metric.of(before))))
    return FeatureImportance(
        input=feature.input,
        feature=feature.name[:256],
        points=round(-points, 4) + 0.0,
        low_points=round(-gained.points.high, 4) + 0.0,
        high_points=round(-gained.points.low, 4) + 0.0,
    )
