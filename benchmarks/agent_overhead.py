"""What the agent adds to an inference: `python benchmarks/agent_overhead.py [--json] [--quick]`.

In-process `limosa_agent.Model` over bare `session.run`, step by step (agent 5.4, telemetry 1.1).
Exit code 0; a bar that is missed is printed as MISS.
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

import numpy as np
import onnxruntime

import limosa_agent
from benchmarks.bars import Bar, finish
from limosa_agent.serving.observations import Observations
from limosa_agent.serving.pool import SlotRef
from limosa_agent.serving.schema_check import SchemaCheck
from limosa_agent.serving.tensor_codec import Array
from tests.agent.serving.releases import (
    Plan,
    baseline_of,
    install,
    make_current,
    mean_plan,
    motion_plan,
)

MIB: Final = 1024 * 1024


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
    for label, plan in (
        ("64 scalars", scalars),
        ("64 scalars, range checked", ranged),
        ("motion", motion_plan("2.0.0")),
    ):
        slot = install(plan, folder / label)
        make_current(slot)
        model = limosa_agent.Model(plan.model, state_dir=folder / label)
        name = plan.inputs[0].name
        inputs = {name: np.ascontiguousarray(plan.golden[name][:1])}
        spent = _steps(model, plan, slot, inputs, rounds)
        bare = spent["bare session.run"]
        for step, us in spent.items():
            report.row(f"{label}: {step}", us, "µs")
        over = spent["limosa_agent.Model.run"] - bare
        report.row(f"{label}: limosa_agent.Model.run over bare", over, "µs")
        report.row(f"{label}: the same", 100 * over / bare, "%")
        if label == "64 scalars":
            report.bar("input check, µs", spent["check"], 1.0)  # agent 5.4
            report.bar("ring of 64 scalars, flush included, µs", spent["ring"], 1.0)  # telemetry 1.1
            report.bar("limosa_agent.Model.run over bare session.run, µs", over, 2.0)  # agent 5.4


def _steps(
    model: limosa_agent.Model, plan: Plan, slot: SlotRef, inputs: Mapping[str, Array], rounds: int
) -> dict[str, float]:
    content = (Path(slot.directory) / model.serving.model_file).read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [spec.name for spec in model.serving.outputs]
    outputs = model.run(inputs)
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
        "limosa_agent.Model.run": lambda: model.run(inputs),
        "(an empty call)": lambda: None,
    }
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(rounds):
        for step, call in steps.items():
            best[step] = min(best[step], _time_us(call))
    empty = best.pop("(an empty call)")
    return {step: us - empty for step, us in best.items()}


def _time_us(call: Callable[[], object], times: int = 128) -> float:
    """Mean of `times` calls: two rings full, so every round holds its whole flushes, and is over
    before the scheduler thinks of another process."""
    began = time.perf_counter_ns()
    for _ in range(times):
        call()
    return (time.perf_counter_ns() - began) / times / 1000


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one object as the last line of stdout")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    arguments = parser.parse_args(words)
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_process_overhead(report, folder, rounds=100 if arguments.quick else 600)
    packages = ("limosa", "numpy", "onnxruntime", "uvloop", "httptools", "paho-mqtt", "cryptography")
    return finish(report.rows, report.bars, as_json=arguments.json, packages=packages)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
