"""Of candidates that are as small and as fast as each other: which is shipped (compiler 2.7). Pure.

One row of the tune data says nothing about two candidates that differ in constants only. Then what is
known beforehand decides: a target that adds products of 8-bit weights without loss is given those, not
the 7-bit ones that another target needs. Only where even the metric is the same does it help that a
blob is shipped already.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from limosa_compiler.choice.pareto import ACCURACY_TIE_POINTS, SIZE_TIE
from limosa_compiler.measuring.measure import Measured
from limosa_compiler.metrics import Metric
from limosa_compiler.recipe.gate import Prefer


@dataclass(frozen=True, slots=True, kw_only=True)
class Leanings:
    """What speaks for or against candidates besides what was measured."""

    coarser: Collection[str] = frozenset()  # names of those made with fewer bits than the target can use
    shipped: Collection[str] = frozenset()  # digests of models that other targets of the build get


NONE: Final = Leanings()


def settled(
    winner: Measured, left: Sequence[Measured], leanings: Leanings, metric: Metric, prefer: Prefer
) -> tuple[Measured, str]:
    """(who is shipped in the winner's place, if anybody, and why, "" if nobody).

    `left` are those that may be shipped, the winner among them.
    """
    equals = [item for item in left if item is winner or _is_equal(item, winner, prefer)]
    finer = [item for item in equals if item.name not in leanings.coarser]
    first = min(finer or equals, key=lambda item: _order(item, metric))
    if first is winner:
        why = ""
    elif winner.name in leanings.coarser:
        why = f"; {winner.name} has fewer bits and is not clearly better"
    else:
        why = f"; {winner.name} differs from it in constants only, and is no better on tune rows"
    for item in sorted(equals, key=lambda item: _order(item, metric)):
        same = item.tune.metric == first.tune.metric and item.size <= first.size
        if same and item.digest in leanings.shipped and first.digest not in leanings.shipped:
            return item, f"; {first.name} is as good, but this one goes to another target too"
    return first, why


def clearly_better(item: Measured, other: Measured, prefer: Prefer) -> bool:
    """Whether tune rows tell the two apart: the 95 % intervals of their differences to fp32 lie apart.

    Where the recipe prefers accuracy, or there are no intervals, ACCURACY_TIE_POINTS tell them apart.
    """
    mine, theirs = item.tune.interval_points, other.tune.interval_points
    if prefer is Prefer.ACCURACY or mine is None or theirs is None:
        return item.tune.points - other.tune.points > ACCURACY_TIE_POINTS
    return mine.low > theirs.high


def _order(item: Measured, metric: Metric) -> tuple[float, float, int, str]:
    """The better metric, then the better bound; a few bytes decide only then, and the name last."""
    bound = item.tune.points if item.tune.lower_bound_points is None else item.tune.lower_bound_points
    merit = item.tune.metric if metric.higher_is_better else -item.tune.metric
    return -merit, -bound, item.size, item.name


def _is_equal(item: Measured, winner: Measured, prefer: Prefer) -> bool:
    same_graph = item.structure == winner.structure and item.runtime == winner.runtime
    return same_graph and item.size <= winner.size * SIZE_TIE and not clearly_better(winner, item, prefer)
