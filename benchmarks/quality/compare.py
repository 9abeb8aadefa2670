"""Variants of one model side by side: metric on holdout rows, size, latency in turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from benchmarks.datasets.case import LABEL, Case
from benchmarks.quality.answers import Variant
from limosa_compiler.data import Rows, split_rows
from limosa_compiler.metrics import Metric, metric_named

FP32, OURS = "fp32", "limosa"
TUNE_SHARE: Final = 0.6  # the recipe's default
MAX_LOSS_POINTS: Final = 1.0  # the recipe's default gate
WARM_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One variant of one model; `error` where there is none."""

    model: str
    variant: str
    metric: str = ""
    value: float = float("nan")  # on holdout rows
    points: float = float("nan")  # against fp32; negative is worse
    size: int = 0  # bytes
    size_ratio: float = float("nan")
    latency_ratio: float = float("nan")
    candidate: str = ""
    seconds: float = 0.0  # a build took
    error: str = ""
    refused: bool = False

    @property
    def meets_gate(self) -> bool:
        return not self.error and self.points >= -MAX_LOSS_POINTS

    def shown(self) -> dict[str, object]:
        done = not self.error
        return {
            "model": self.model,
            "variant": self.variant,
            "metric": f"{self.metric} {self.value:.4f}" if done else "-",
            "points": f"{self.points:+.2f}" if done else "-",
            "kB": self.size // 1000 if done else "-",
            "size": f"{self.size_ratio:.2f}" if done else "-",
            "latency": f"{self.latency_ratio:.2f}" if done else "-",
            "note": self.error[:110] or (f"{self.candidate}, {self.seconds:.0f} s" if self.candidate else ""),
        }


def compared(
    name: str, case: Case, models: Mapping[str, Path], errors: Mapping[str, str], *, rounds: int
) -> list[Row]:
    """A row for every model and every error, in the order given; `models` holds fp32."""
    said, variants = dict(errors), dict[str, Variant]()
    for key, model in models.items():
        try:
            variants[key] = Variant(model, case)
        except Exception as error:  # noqa: BLE001  # whatever onnxruntime says of a model is a row
            said[key] = " ".join(str(error).split())[:160]
    values, points = _scores(variants, case)
    latency = _latency(variants, case, rounds=rounds)
    metric = str(case.metric["name"]).rpartition(":")[2]
    rows: list[Row] = []
    for key in (*models, *(key for key in said if key not in models)):
        row = Row(model=name, variant=key, metric=metric, error=said.get(key, ""))
        if key in variants:
            size = models[key].stat().st_size
            row = replace(
                row,
                value=values[key],
                points=points[key],
                size=size,
                size_ratio=size / models[FP32].stat().st_size,
                latency_ratio=latency[key],
            )
        rows.append(row)
    return rows


def _scores(variants: Mapping[str, Variant], case: Case) -> tuple[dict[str, float], dict[str, float]]:
    """(metric on holdout, points against fp32) of each."""
    metric = metric_named(str(case.metric["name"]))
    inputs = {name: array for name, array in case.evaluation.items() if name != LABEL}
    rows = Rows(inputs=inputs, labels=case.evaluation[LABEL])
    holdout = split_rows(rows, tune_share=TUNE_SHARE)[1]
    values = {key: _metric_of(variant, holdout, metric) for key, variant in variants.items()}
    points = {
        key: float(metric.points(np.asarray(value), np.asarray(values[FP32])))
        for key, value in values.items()
    }
    return values, points


def _metric_of(variant: Variant, rows: Rows, metric: Metric) -> float:
    assert rows.labels is not None
    columns = []
    begin = 0
    for answers in variant.batches(rows.inputs):
        columns.append(metric.columns(answers, rows.labels[begin : begin + len(answers)]))
        begin += len(answers)
    return metric.of(np.concatenate(columns))


def _latency(variants: Mapping[str, Variant], case: Case, *, rounds: int) -> dict[str, float]:
    """Ratio of medians to fp32; every round runs each once, so that what slows one slows all."""
    row = {name: array[:1] for name, array in case.evaluation.items() if name != LABEL}
    spent: dict[str, list[float]] = {key: [] for key in variants}
    for turn in range(rounds + WARM_ROUNDS):
        for key, variant in variants.items():
            seconds = variant.time_once(row)
            if turn >= WARM_ROUNDS:
                spent[key].append(seconds)
    return {key: median(times) / median(spent[FP32]) for key, times in spent.items()}
