"""How good answers are: metrics as sums over rows, so that resampling rows is one product (compiler 1.3)."""

from limosa_compiler.metrics.classes import classes_of
from limosa_compiler.metrics.intervals import Interval, difference_points, lower_bound
from limosa_compiler.metrics.metric import Doubles, Labels, Metric, Scale
from limosa_compiler.metrics.registry import METRIC_NAMES, METRICS, check_labels, metric_named

__all__ = [
    "METRICS",
    "METRIC_NAMES",
    "Doubles",
    "Interval",
    "Labels",
    "Metric",
    "Scale",
    "check_labels",
    "classes_of",
    "difference_points",
    "lower_bound",
    "metric_named",
]
