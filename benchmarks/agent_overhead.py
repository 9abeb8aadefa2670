"""What the agent adds to an inference: `python benchmarks/agent_overhead.py [--json] [--quick]`.

In-process `limosa_agent.Model.predict` over bare `session.run` with the same options, telemetry on, step
by step (agent 5.4), on a tiny model, on one of 1 ms, and on the demo's; and what counting costs for each
inference with 10, 64 and 1,000 monitored scalars (telemetry 1.1), beside KLL of `datasketches`.
Processor time of the one thread that measures: what else the machine does counts as little as may be.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

import datasketches
import numpy as np
import onnxruntime

import limosa_agent
from benchmarks.bars import Bar, finish
from benchmarks.serving_peers.models import bench_models
from limosa_agent.serving.observations import Observations
from limosa_agent.serving.pool import SlotRef
from limosa_agent.serving.ring import Ring
from limosa_agent.serving.schema_check import SchemaCheck
from limosa_agent.serving.tensor_codec import Array
from limosa_contracts.serving import Golden, Serving
from tests.agent.serving.releases import (
    Plan,
    baseline_of,
    install,
    make_current,
    mean_plan,
    motion_plan,
)

MIB: Final = 1024 * 1024
CALLS: Final = 128  # two rings full: every round holds its whole flushes
PREDICT: Final = "limosa_agent.Model.predict"
SMALL: Final = "bench/small"
WIDTHS: Final = (10, 64, 1000)
KLL_K: Final = 200  # of datasketches, its default


@dataclass
class Report:
    rows: list[dict[str, object]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)

    def row(self, name: str, value: float, unit: str) -> None:
        self.rows.append({"name": name, "value": round(value, 3), "unit": unit})
        sys.stderr.write(f"{name:<58} {value:>12.3f} {unit}\n")

    def bar(self, name: str, value: float, limit: float) -> None:
        self.bars.append(Bar(name=name, limit=limit, value=round(value, 3)))


# -- 1. in-process overhead


def in_process_overhead(report: Report, folder: Path, *, rounds: int) -> None:
    """Best of many interleaved rounds: other work on the machine only ever adds."""
    scalars = mean_plan(width=64)
    ranged = replace(scalars, inputs=tuple(replace(spec, low=-1e6, high=1e6) for spec in scalars.inputs))
    tiny, small, _ = bench_models()
    for label, plan in (
        ("64 scalars", scalars),
        ("64 scalars, range checked", ranged),
        ("tiny (about 20 µs)", tiny.plan()),
        ("small (about 1 ms)", small.plan()),
        ("motion", motion_plan("2.0.0")),
    ):
        slot = install(plan, folder / label)
        make_current(slot)
        model = limosa_agent.Model(plan.model, state_dir=folder / label)
        name = plan.inputs[0].name
        inputs = {name: np.ascontiguousarray(plan.golden[name][:1])}
        spent = _steps(model, plan, slot, inputs, max(5, rounds // 20) if plan.model == SMALL else rounds)
        bare = spent["bare session.run"]
        for step, us in spent.items():
            report.row(f"{label}: {step}", us, "µs")
        over = spent[PREDICT] - bare
        report.row(f"{label}: {PREDICT} over bare", over, "µs")
        report.row(f"{label}: the same", 100 * over / bare, "%")
        if label == "64 scalars":
            report.bar("input check, µs", spent["check"], 1.0)  # agent 5.4
        elif plan.model == tiny.plan().model:
            report.bar(f"{PREDICT} over bare session.run, tiny, µs", over, 3.0)
        elif plan.model == SMALL:
            report.bar(f"{PREDICT} over bare session.run, 1 ms, %", 100 * over / bare, 2.0)


def _steps(
    model: limosa_agent.Model, plan: Plan, slot: SlotRef, inputs: Mapping[str, Array], rounds: int
) -> dict[str, float]:
    content = (Path(slot.directory) / model.serving.model_file).read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [spec.name for spec in model.serving.outputs]
    outputs = model.predict(inputs)
    check = SchemaCheck(model.serving, rows_max=1024)
    seen = Observations(
        model.serving,
        baseline_of(plan),
        manifest_sha256=slot.manifest_sha256,
        ring_rows=64,
        ring_max_bytes=MIB,
    )
    steps: dict[str, Callable[[], object]] = {
        "bare session.run": lambda: session.run(names, inputs),
        "check": lambda: check(inputs),
        "ring": lambda: seen.add(inputs, outputs, 1, 1000),
        PREDICT: lambda: model.predict(inputs),
        "(an empty call)": lambda: None,
    }
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(rounds):
        for step, call in steps.items():
            best[step] = min(best[step], _time_us(call))
    empty = best.pop("(an empty call)")
    return {step: us - empty for step, us in best.items()}


def _time_us(call: Callable[[], object], times: int = CALLS) -> float:
    """Mean of `times` calls, in processor time."""
    began = time.thread_time_ns()
    for _ in range(times):
        call()
    return (time.thread_time_ns() - began) / times / 1000


# -- 2. counting


def sketches(report: Report, *, rounds: int) -> None:
    """One row of so many scalars for each inference: ours with its flushes, and KLL for the same row.

    A release may monitor 256; a thousand show how it grows. Rows differ, as a sketch's work depends on it.
    """
    for width in WIDTHS:
        plan = mean_plan(width=width)
        row = np.ascontiguousarray(plan.golden["x"][:1])
        answer = {"y": np.zeros((1, 1), np.float32)}
        ours = Ring(_serving(plan), baseline_of(plan), rows=64, max_bytes=MIB)
        vector = datasketches.vector_of_kll_floats_sketches(KLL_K, width)
        random = np.random.default_rng(0)
        best = [float("inf")] * 2
        for _ in range(rounds):
            rows = [random.standard_normal((1, width)).astype(np.float32) for _ in range(CALLS)]
            given = iter([({"x": one}, answer, 1, 1000) for one in rows])
            best[0] = min(best[0], _time_us(lambda: ours.add(*next(given))))  # noqa: B023  # called at once
            flat = iter([one.ravel() for one in rows])
            best[1] = min(best[1], _time_us(lambda: vector.update(next(flat))))  # noqa: B023  # called at once
        report.row(f"counting {width} scalars, flushes included", best[0], "µs")
        report.row(f"KLL (k = {KLL_K}) of datasketches, {width} scalars", best[1], "µs")
        size = sum(len(one) for one in vector.serialize())
        report.row(f"its serialised size after {CALLS * rounds} rows", size / 1024, "KiB")
        if width == 64:
            report.bar("counting 64 scalars, flushes included, µs", best[0], 1.0)  # telemetry 1.1
            report.bar("one flush of 64 rows of 64 scalars, µs", _flush_us(ours, row, rounds), 30.0)


def _serving(plan: Plan) -> Serving:
    return Serving(
        model=plan.model,
        version=plan.version,
        variant="cpu",
        precision="fp32",
        runtime="onnxruntime",
        runtime_tested=onnxruntime.__version__,
        model_file="model.onnx",
        inputs=plan.inputs,
        outputs=plan.outputs,
        task="other",
        probabilities="",
        classes=(),
        features=plan.features,
        golden=Golden(cases=1, absolute=1e-3, relative=1e-2),
    )


def _flush_us(ring: Ring, row: Array, rounds: int) -> float:
    """Of a ring that lacks one row."""
    best = float("inf")
    ring.settle()
    for _ in range(rounds):
        for _ in range(ring.size - 1):
            ring.add({"x": row}, {"y": np.zeros((1, 1), np.float32)}, 1, 1000)
        best = min(best, _time_us(ring.flush, 1))
    return best


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one object as the last line of stdout")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    arguments = parser.parse_args(words)
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_process_overhead(report, folder, rounds=100 if arguments.quick else 600)
    sketches(report, rounds=50 if arguments.quick else 300)
    packages = ("limosa", "numpy", "onnxruntime", "datasketches")
    return finish(report.rows, report.bars, as_json=arguments.json, packages=packages)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
