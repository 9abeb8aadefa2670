"""What a candidate misses of the gate, on tune rows and on holdout rows (compiler 2.7). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from limosa_compiler.choice.pareto import LATENCY_DECIDES
from limosa_compiler.limits import LIMITS
from limosa_compiler.measuring.measure import Measured
from limosa_compiler.measuring.scores import Score, judged
from limosa_compiler.metrics import Metric
from limosa_compiler.recipe.gate import Gate


def misses_on_tune(item: Measured, gate: Gate, metric: Metric, *, fp32_size: int) -> str:
    """Why the candidate may not be shipped, "" if it may as far as the tune rows tell."""
    return next(_tune_misses(item, gate, metric, fp32_size), "")


def misses_on_holdout(item: Measured, gate: Gate, metric: Metric) -> str:
    """The point estimate only: a second bound would ask for more rows than people have."""
    if _below(item.holdout, gate, metric) > 0:
        return _says_below(item.holdout, gate, metric, "holdout")
    if -item.holdout.points > gate.max_loss_points:
        return (
            f"loses {-item.holdout.points:.2f} points on holdout rows, {gate.max_loss_points:g} are allowed"
        )
    return _slice_miss(item.holdout_slices, gate, "holdout")


def shortfall(item: Measured, gate: Gate, metric: Metric) -> float:
    """Points of the metric that the candidate misses the gate by: what came closest is least.

    0 if it meets that. Sizes and times are not asked: they are in the candidate's reason.
    """
    bound = item.tune.points if item.tune.lower_bound_points is None else item.tune.lower_bound_points
    misses = [0.0, -bound - gate.max_loss_points, -item.holdout.points - gate.max_loss_points]
    misses += [_below(score, gate, metric) for score in (item.tune, item.holdout)]
    if gate.max_slice_loss_points is not None:
        slices = (*judged(item.tune_slices), *judged(item.holdout_slices))
        misses += [-score.points - gate.max_slice_loss_points for _, score in slices]
    return max(misses)


def fails_clearly(partial: Score, gate: Gate, metric: Metric) -> str:
    """Why a candidate that was measured on the first tune rows need not be measured on the others, or "".

    It fails clearly if even the upper 97.5 % bound of its difference to fp32 (or of the metric itself)
    is below the gate. To pass, the lower bound on all rows would have to be above it: at most one in
    forty candidates that are truly at the gate is called a failure here, and such would not pass.
    """
    if partial.rows < LIMITS.prune_rows_min:
        return ""
    points, value = partial.interval_points, partial.interval
    if points is not None and -points.high > gate.max_loss_points:
        return (
            f"loses at least {-points.high:.2f} points (95 % interval, first {partial.rows} tune rows), "
            f"{gate.max_loss_points:g} are allowed"
        )
    if value is not None and gate.min_metric is not None:
        most = value.high if metric.higher_is_better else value.low
        if metric.points_below(most, gate.min_metric) > 0:
            bound = "at most" if metric.higher_is_better else "at least"
            return (
                f"{metric.name} is {bound} {most:.4f} (95 % interval of the first {partial.rows} tune rows), "
                f"the gate is {gate.min_metric:g}"
            )
    return ""


def impossible(gate: Gate, metric: Metric) -> str:
    """Why no model whatever can meet the gate, "" if one could; a hint for people."""
    if gate.min_metric is None or not metric.is_share:
        return ""
    if metric.higher_is_better and gate.min_metric > 1:
        return f"{metric.name} is never above 1"
    if not metric.higher_is_better and gate.min_metric < 0:
        return f"{metric.name} is never below 0"
    return ""


def _tune_misses(item: Measured, gate: Gate, metric: Metric, fp32_size: int) -> Iterator[str]:
    if gate.max_size_bytes is not None and item.size > gate.max_size_bytes:
        yield f"{item.size} bytes, {gate.max_size_bytes} are allowed"
    if gate.max_size_ratio is not None and item.size > gate.max_size_ratio * fp32_size:
        yield f"{item.size / fp32_size:.3f} of fp32's size, {gate.max_size_ratio:g} is allowed"
    if _below(item.tune, gate, metric) > 0:
        yield _says_below(item.tune, gate, metric, "tune")
    bound = item.tune.lower_bound_points
    if bound is not None and -bound > gate.max_loss_points:
        yield (
            f"may lose {-bound:.2f} points on tune rows (95 % bound of {item.tune.rows} rows), "
            f"{gate.max_loss_points:g} are allowed"
        )
    if said := _slice_miss(item.tune_slices, gate, "tune"):
        yield said
    yield from _resource_misses(item, gate)


def _resource_misses(item: Measured, gate: Gate) -> Iterator[str]:
    allowed = gate.max_latency_ratio
    if allowed is not None and item.latency.ratio * LATENCY_DECIDES > allowed:
        yield f"{item.latency.ratio:.2f} × fp32's time, clearly more than {allowed:g} ×"
    for what, unit, found, limit in (
        ("memory", "bytes", item.memory_bytes, gate.max_memory_bytes),
        ("load time", "ms", item.load_ms, gate.max_load_ms),
    ):
        if limit is not None and found is None:
            yield f"its {what} could not be measured, and the gate allows {limit:g} {unit}"
        elif limit is not None and found is not None and found > limit:
            yield f"{what} {found:.6g} {unit}, {limit:g} are allowed"


def _slice_miss(slices: Mapping[str, Score], gate: Gate, part: str) -> str:
    """The worst of the slices that have rows enough, by the point estimate.

    No bound: of many small slices one has a bad bound by chance, and nothing would ever pass.
    """
    found = judged(slices)
    if gate.max_slice_loss_points is None or not found:
        return ""
    name, score = min(found, key=lambda pair: pair[1].points)
    if -score.points <= gate.max_slice_loss_points:
        return ""
    return (
        f"loses {-score.points:.2f} points on {score.rows} {part} rows of slice {name}, "
        f"{gate.max_slice_loss_points:g} are allowed"
    )


def _below(score: Score, gate: Gate, metric: Metric) -> float:
    return 0.0 if gate.min_metric is None else metric.points_below(score.metric, gate.min_metric)


def _says_below(score: Score, gate: Gate, metric: Metric, part: str) -> str:
    side = "below" if metric.higher_is_better else "above"
    return f"{metric.name} {score.metric:.4f} on {part} rows is {side} {gate.min_metric}"
