"""`python:package.module:function`: a metric of the user's own.

def dice(answers, labels):          # [N, ...] each -> [N, C]: what is summed over rows
    return np.stack([2 * (answers * labels).sum(1), answers.sum(1) + labels.sum(1)], axis=1)

dice.value = lambda sums, rows: sums[..., 0] / sums[..., 1]   # default: mean of the first column
dice.higher_is_better = True        # default
dice.is_share = True                # default False: points are percent of what fp32 has
dice.needs_labels = True            # default; False: fp32's answers stand for missing labels
dice.by_row = True                  # default False; True: may be called on some rows at a time
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.errors import MetricFailed
from limosa_compiler.external.entry_point import EntryPoint
from limosa_compiler.metrics.metric import Doubles, Labels, Metric, Scale, mean
from limosa_contracts.oci import digest_of

_FLAGS: Final = {"higher_is_better": True, "is_share": False, "needs_labels": True, "by_row": False}


def own_metric(entry: EntryPoint) -> Metric:
    """Imports the function. Raises EntryPointFailed, and MetricFailed for attributes of a wrong kind."""
    function = entry.load()
    flags = {name: getattr(function, name, default) for name, default in _FLAGS.items()}
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise MetricFailed(f"{name} must be True or False", where=entry.name, why=repr(flag)[:80])
    value: Callable[[Doubles, int], Any] = getattr(function, "value", mean)
    return Metric(
        name=entry.name,
        higher_is_better=flags["higher_is_better"],
        scale=Scale.SHARE if flags["is_share"] else Scale.RELATIVE,
        labels=Labels.ANY,
        columns=lambda answers, labels: _columns(entry, function, answers, labels),
        value=lambda sums, rows: _value(entry, value, sums, rows),
        needs_labels=flags["needs_labels"],
        by_row=flags["by_row"],
        code_digest=_code_digest(function),
    )


def _code_digest(function: Callable[..., Any]) -> str:
    """Of its module's file: what it imports is not covered. Empty where there is no file."""
    try:
        file = inspect.getsourcefile(function)
    except TypeError:  # built in, or an object that is called
        return ""
    return digest_of(Path(file).read_bytes()) if file and Path(file).is_file() else ""


def _columns(entry: EntryPoint, function: Callable[..., Any], answers: Array, labels: Array) -> Doubles:
    columns = _numbers(entry, _called(entry, function, answers, labels))
    if columns.ndim == 1:
        columns = columns[:, None]
    if columns.ndim != 2 or len(columns) != len(answers):
        raise MetricFailed(
            "it did not give one row of columns per row of answers",
            where=entry.name,
            why=f"shape {list(columns.shape)} for {len(answers)} rows",
        )
    return columns


def _value(entry: EntryPoint, function: Callable[..., Any], sums: Doubles, rows: int) -> Doubles:
    value = _numbers(entry, _called(entry, function, sums, rows))
    if value.shape != sums.shape[:-1]:
        raise MetricFailed(
            "its value does not take sums [..., C] to [...]",
            where=entry.name,
            why=f"sums of shape {list(sums.shape)} gave {list(value.shape)}",
            hint="index columns from the end: sums[..., 0]",
        )
    return value


def _numbers(entry: EntryPoint, given: object) -> Doubles:
    try:
        numbers = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise MetricFailed("it gave no numbers", where=entry.name, why=str(error)[:200]) from error
    if not np.isfinite(numbers).all():
        raise MetricFailed("it gave NaN or infinity", where=entry.name)
    return numbers


def _called(entry: EntryPoint, function: Callable[..., Any], *given: object) -> object:
    try:
        return function(*given)
    except (Exception, SystemExit) as error:  # whatever the user's code raises is shown, with its place
        frame = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())[:200]
        raise MetricFailed(
            "the metric's own code failed",
            where=entry.name,
            why=f"{type(error).__name__}: {said} (line {frame.lineno} of {frame.filename}, in {frame.name})",
        ) from error
