"""What the report says beyond the choice: importance, mistakes, ranges (compiler 6.4). Not in any digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from limosa_compiler.arrays import Array, Arrays
from limosa_compiler.calibration.range_table import TensorRange
from limosa_compiler.data import Rows
from limosa_compiler.evidence.evidence import Evidence
from limosa_compiler.evidence.importance import features_to_permute, permutation_importance, rows_for
from limosa_compiler.evidence.mistakes import mistakes_of
from limosa_compiler.evidence.parts import RANGES_MAX, FeatureImportance, Mistakes, RangeSummary
from limosa_compiler.metrics import Metric
from limosa_compiler.recipe import Recipe


class Answers(Protocol):
    def answers(self, inputs: Arrays, outputs: Sequence[str] = ()) -> Iterator[Mapping[str, Array]]: ...


def with_findings(
    evidence: Evidence,
    *,
    runners: Mapping[str, Answers],
    tune: Rows,
    holdout: Rows,
    output: str,
    recipe: Recipe,
    metric: Metric,
    classes: Sequence[str] = (),
    sequences: bool = False,
) -> Evidence:
    """The same evidence, with importance and mistakes of what was chosen.

    `sequences`: rows are sequences [steps, …] of a model with states, and are permuted as wholes.
    """
    chosen = [choice.chosen for choice in evidence.choices if choice.chosen]
    first = evidence.candidate(chosen[0])
    return replace(
        evidence,
        importance=importance_of(
            runners[chosen[0]],
            tune,
            recipe,
            metric=metric,
            output=output,
            row_us=first.latency.median_us if first else 0.0,
            whole=sequences,
        ),
        mistakes=mistakes_of_chosen(runners, chosen, holdout, classes, metric=metric, output=output),
    )


def importance_of(
    runner: Answers, rows: Rows, recipe: Recipe, *, metric: Metric, output: str, row_us: float, whole: bool
) -> tuple[FeatureImportance, ...]:
    """Of one candidate, on tune rows: holdout rows are looked at once, for the choice."""
    channels = {name: notes.channels for name, notes in recipe.inputs.items()}
    features = features_to_permute(rows.inputs, channels, whole=whole)
    few = rows_for(rows, features=len(features), row_us=row_us)
    return permutation_importance(_one(runner, output), few, features, metric=metric)


def _one(runner: Answers, output: str) -> Callable[[Arrays], Iterator[Array]]:
    """One output [n, ...] of any rows, batch by batch."""
    return lambda inputs: (said[output] for said in runner.answers(inputs, (output,)))


def mistakes_of_chosen(
    runners: Mapping[str, Answers],
    chosen: Sequence[str],
    rows: Rows,
    classes: Sequence[str],
    *,
    metric: Metric,
    output: str,
) -> tuple[Mistakes, ...]:
    """Of every candidate that some target gets, in the order of targets."""
    return tuple(
        mistakes_of(name, _one(runners[name], output)(rows.inputs), rows, metric=metric, classes=classes)
        for name in dict.fromkeys(chosen)
    )


def ranges_summary(
    minmax: Mapping[str, TensorRange], kept: Mapping[str, TensorRange]
) -> tuple[RangeSummary, ...]:
    """The tensors that lose most of their span when tails are cut, then the widest."""
    found = [
        RangeSummary(
            tensor=name[:1024],
            low=span.low,
            high=span.high,
            kept_low=kept[name].low,
            kept_high=kept[name].high,
        )
        for name, span in minmax.items()
        if name in kept
    ]
    found.sort(key=lambda item: (-item.cut_share, item.low - item.high, item.tensor))
    return tuple(found[:RANGES_MAX])
