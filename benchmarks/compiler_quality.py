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
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

from benchmarks.bars import Bar, finish, print_table
from benchmarks.quality.case_folder import write_case
from benchmarks.quality.compare import FP32, MAX_LOSS_POINTS, OURS, Row, compared
from benchmarks.quality.naive import METHODS, NaiveFailed, quantized
from benchmarks.quality.ours import built
from benchmarks.real_data import case_names, case_of
from benchmarks.real_models import model_path

TIME_DECIDES: Final = 1.10  # a difference under 10 % does not decide (compiler 2.6)
ROUNDS, QUICK_ROUNDS = 60, 10
QUICK_ROWS: Final = 100


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
    rows = compared(name, case, models, errors, rounds=QUICK_ROUNDS if quick else ROUNDS)
    order = (FP32, *METHODS, OURS)
    rows.sort(key=lambda row: order.index(row.variant))
    seconds = result.seconds
    rows[-1] = replace(rows[-1], candidate=result.candidate, seconds=seconds, refused=result.refused)
    return rows


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
