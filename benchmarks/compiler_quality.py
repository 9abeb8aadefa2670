"""Our choice beside onnxruntime's own quantizers, on real models: `python benchmarks/compiler_quality.py`.

    [--only NAME …] [--quick] [--json]

Per model, in one run: fp32, `quantize_dynamic`, `quantize_static` (as onnxruntime's documentation shows
them), and `limosa_compiler.build` with default settings. The metric is measured here, by the same code
for all four, on holdout rows that the build used for nothing but its own confirmation. Latency: one row
(a recurrent model: one step) on one thread, the variants in turn, ratio of medians to fp32. `--quick`:
a hundred rows and few rounds; its bars say little.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

import numpy as np

from benchmarks.bars import Bar, finish, print_table
from benchmarks.datasets.case import LABEL, Case
from benchmarks.quality.answers import Variant
from benchmarks.quality.case_folder import write_case
from benchmarks.quality.naive import METHODS, NaiveFailed, quantized
from benchmarks.quality.ours import built
from benchmarks.real_data import case_names, case_of
from benchmarks.real_models import model_path
from limosa_compiler.data import Rows, split_rows
from limosa_compiler.metrics import Metric, metric_named

FP32, OURS = "fp32", "limosa"
TUNE_SHARE: Final = 0.6  # the recipe's default
MAX_LOSS_POINTS: Final = 1.0  # the recipe's default gate
TIME_DECIDES: Final = 1.10  # a difference under 10 % does not decide (compiler 2.6)
ROUNDS, QUICK_ROUNDS = 60, 10
QUICK_ROWS: Final = 100


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


def rows_of(name: str, folder: Path, *, quick: bool) -> list[Row]:
    """fp32 first, ours last. Raises Unobtainable."""
    case, path = case_of(name), model_path(name)
    if quick:
        case = case.take(QUICK_ROWS, 3 * QUICK_ROWS)
    write_case(case, folder)
    models: dict[str, Path] = {FP32: path}
    errors: dict[str, str] = {}
    for method in METHODS:
        try:
            models[method] = quantized(method, path, folder, folder / f"{method}.onnx")
        except NaiveFailed as failed:
            errors[method] = str(failed)
    result = built(name, path, folder)
    if result.model is None:
        errors[OURS] = result.error
    else:
        models[OURS] = result.model
    variants: dict[str, Variant] = {}
    for key, model in models.items():
        try:
            variants[key] = Variant(model, case)
        except Exception as error:  # noqa: BLE001  # whatever onnxruntime says of a model is a row
            errors[key] = " ".join(str(error).split())[:160]
    values, points = _scores(variants, case)
    latency = _latency(variants, case, rounds=QUICK_ROUNDS if quick else ROUNDS)
    metric = str(case.metric["name"]).rpartition(":")[2]
    rows: list[Row] = []
    for key in (FP32, *METHODS, OURS):
        row = Row(model=name, variant=key, metric=metric, error=errors.get(key, ""))
        if key in variants:
            size = models[key].stat().st_size
            row = replace(
                row,
                value=values[key],
                points=points[key],
                size=size,
                size_ratio=size / path.stat().st_size,
                latency_ratio=latency[key],
            )
        rows.append(row)
    seconds = result.seconds
    rows[-1] = replace(rows[-1], candidate=result.candidate, seconds=seconds, refused=result.refused)
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
    for turn in range(rounds + 3):
        for key, variant in variants.items():
            seconds = variant.time_once(row)
            if turn >= 3:
                spent[key].append(seconds)
    return {key: median(times) / median(spent[FP32]) for key, times in spent.items()}


def bars_of(rows: Sequence[Row]) -> list[Bar]:
    """What must hold of one model."""
    fp32, ours = rows[0], rows[-1]
    name = fp32.model
    if ours.error:
        closed = 0.0 if ours.refused else 1.0
        return [
            Bar(name=f"{name}: a build that ships nothing was refused by its gate", limit=0, value=closed)
        ]
    bars = [Bar(name=f"{name}: points lost on holdout", limit=MAX_LOSS_POINTS, value=max(0.0, -ours.points))]
    worse = [
        row.variant
        for row in rows[1:-1]
        if row.meets_gate and ours.size > row.size and ours.latency_ratio > TIME_DECIDES * row.latency_ratio
    ]
    what = f"{name}: naive variants within the gate that are smaller and faster"
    bars.append(Bar(name=what, limit=0, value=len(worse)))
    return bars + _named_bars(name, fp32, ours)


def _named_bars(name: str, fp32: Row, ours: Row) -> list[Bar]:
    if name == "magika":
        return [
            Bar(name="magika: accuracy", limit=0.90, value=ours.value, at_least=True),
            Bar(name="magika: size over fp32", limit=0.30, value=ours.size_ratio),
        ]
    if name == "nsfw":
        return [
            Bar(name="nsfw: size over fp32", limit=0.30, value=ours.size_ratio),
            Bar(name="nsfw: latency over fp32", limit=0.50, value=ours.latency_ratio),
        ]
    if name == "motion":
        return [Bar(name="motion: accuracy", limit=fp32.value - 0.005, value=ours.value, at_least=True)]
    return []


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one object as the last line of stdout")
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds")
    parser.add_argument("--only", nargs="+", choices=case_names(), default=case_names(), metavar="NAME")
    arguments = parser.parse_args(words)
    rows: list[Row] = []
    bars: list[Bar] = []
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            found = rows_of(name, Path(folder), quick=arguments.quick)
        print_table([row.shown() for row in found])
        rows += found
        bars += bars_of(found)
    return finish([{**row.shown(), "error": row.error} for row in rows], bars, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
