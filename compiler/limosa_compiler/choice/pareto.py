"""Who is best among those that may be shipped: the Pareto front, and a preference (compiler 2.7). Pure.

Measured time never decides alone, so that a build repeats: graphs that differ only in constants run
equally fast, and only a difference of 10 % or more counts. Size is in bytes, the metric is that of the
tune rows. Where a build must repeat although such a pair is close, `limosa build --replay EVIDENCE`
takes the times recorded before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from limosa_compiler.measuring.measure import Measured
from limosa_compiler.metrics import Metric
from limosa_compiler.recipe.gate import Prefer

SIZE_TIE: Final = 1.05
LATENCY_DECIDES: Final = 0.90
ACCURACY_TIE_POINTS: Final = 0.1


def clearly_faster(item: Measured, other: Measured) -> bool:
    return item.structure != other.structure and item.latency.ratio <= LATENCY_DECIDES * other.latency.ratio


def dominates(item: Measured, other: Measured, metric: Metric) -> bool:
    """No larger, no worse, not clearly slower; and smaller, better or clearly faster."""
    gain = _merit(item, metric) - _merit(other, metric)
    if item.size > other.size or gain < 0 or clearly_faster(other, item):
        return False
    return item.size < other.size or gain > 0 or clearly_faster(item, other)


def pareto_front(items: Sequence[Measured], metric: Metric) -> tuple[Measured, ...]:
    """Those that none of the others dominates, smallest first; never empty if there is one.

    (Who dominates has less size or a better metric, or is faster by 10 % with both equal: no circle
    can be closed, whatever the times are.)
    """
    return tuple(
        item
        for item in ranked(items, metric)
        if not any(dominates(other, item, metric) for other in items if other is not item)
    )


def best(items: Sequence[Measured], metric: Metric, prefer: Prefer) -> Measured:
    """Of at least one item, whatever their order.

    The preference leaves a few; of these the smallest, or one as small and clearly faster.
    """
    few = _preferred(pareto_front(items, metric), metric, prefer)
    smallest = few[0]
    winner = smallest
    for item in few[1:]:
        if item.size <= smallest.size * SIZE_TIE and clearly_faster(item, winner):
            winner = item
    return winner


def ranked(items: Sequence[Measured], metric: Metric) -> list[Measured]:
    """Smallest first; of equal sizes the better metric, then the name."""
    return sorted(items, key=lambda item: (item.size, -_merit(item, metric), item.name, item.digest))


def _preferred(front: Sequence[Measured], metric: Metric, prefer: Prefer) -> Sequence[Measured]:
    if prefer is Prefer.LATENCY:
        fastest = min(front, key=lambda item: (item.latency.ratio, item.size, item.name))
        return [item for item in front if not clearly_faster(fastest, item)]
    if prefer is Prefer.ACCURACY:
        top = max(item.tune.points for item in front)
        return [item for item in front if top - item.tune.points <= ACCURACY_TIE_POINTS]
    return front


def _merit(item: Measured, metric: Metric) -> float:
    return item.tune.metric if metric.higher_is_better else -item.tune.metric
