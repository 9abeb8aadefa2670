"""The quality benchmark: its bars, its recurrent runs, and one model through all of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bars import Bar
from benchmarks.compiler_quality import bars_of
from benchmarks.datasets.case import Case
from benchmarks.process_tree import watch
from benchmarks.quality.answers import Variant
from benchmarks.quality.compare import Row
from benchmarks.quality.naive import NaiveFailed, quantized
from tests.support.real_models import require_model

ROOT = Path(__file__).resolve().parents[2]
FP32 = Row(model="m", variant="fp32", value=0.9, points=0, size=1000, size_ratio=1, latency_ratio=1)
NAIVE = replace(FP32, variant="static", value=0.895, points=-0.5, size=300, size_ratio=0.3, latency_ratio=0.5)
OURS = replace(NAIVE, variant="limosa", candidate="int8")


def missed(*rows: Row) -> list[str]:
    return [bar.name for bar in bars_of(rows) if not bar.ok]


def test_a_bar_says_whether_it_is_met_and_by_which_side() -> None:
    assert Bar(name="a", limit=1, value=1).ok
    assert not Bar(name="a", limit=1, value=0.9, at_least=True).ok
    assert str(Bar(name="a", limit=1, value=2)) == "MISS a: 2 (bar <= 1)"


def test_larger_and_slower_than_a_naive_variant_within_the_gate_is_a_miss() -> None:
    worse = replace(OURS, size=310, latency_ratio=0.6)
    assert missed(FP32, NAIVE, worse) == ["m: naive variants within the gate that are smaller and faster"]
    assert not missed(FP32, replace(NAIVE, points=-3.0), worse)  # beside the gate it is no rival
    assert not missed(FP32, NAIVE, replace(OURS, size=310))
    assert not missed(FP32, NAIVE, replace(OURS, latency_ratio=0.9))


def test_points_lost_beyond_the_gate_are_a_miss_and_a_refusal_is_none() -> None:
    assert missed(FP32, NAIVE, replace(OURS, points=-1.2)) == ["m: points lost on holdout"]
    refused = Row(model="m", variant="limosa", error="LM-1", refused=True)
    assert not missed(FP32, NAIVE, refused)
    assert missed(FP32, NAIVE, replace(refused, refused=False)) == [
        "m: a build that ships nothing was refused by its gate"
    ]


def test_a_recurrent_model_is_fed_its_own_states() -> None:
    model = require_model("silero_vad")
    case = Case(
        calibration={},
        evaluation={},
        truth="none",
        metric={"name": "accuracy", "output": "output"},
        inputs={"state": {"state_from": "stateN"}, "sr": {"value": 16_000}},
    )
    sound = np.random.default_rng(1).normal(0, 0.1, (2, 3, 576)).astype(np.float32)
    variant = Variant(model, case)
    steps = list(variant.steps({"input": sound}))
    assert not steps[0][0]["state"].any()
    assert steps[1][0]["state"].any()
    assert steps[1][0]["state"].shape == (2, 2, 128)
    assert variant.answer({"input": sound}).shape == (2, 3, 1)


def test_a_quantizer_that_crashes_is_a_reason_and_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07 truncated")
    with pytest.raises(NaiveFailed):
        quantized("dynamic", tmp_path / "model.onnx", tmp_path, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_memory_of_children_is_counted_with_their_parent() -> None:
    size = 60_000_000
    child = f"data = bytearray({size}); import time; time.sleep(0.4)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    watched = watch([sys.executable, "-c", parent], environment=os.environ, timeout_s=30)
    assert watched.returncode == 0
    assert watched.peak_bytes > size


def test_the_motion_model_goes_through_the_whole_benchmark() -> None:
    script = ROOT / "benchmarks" / "compiler_quality.py"
    command = [sys.executable, str(script), "--only", "motion", "--quick", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert [row["variant"] for row in found["rows"]] == ["fp32", "dynamic", "static", "limosa"]
    assert not [row["error"] for row in found["rows"] if row["error"]]
    names = {bar["name"]: bar["ok"] for bar in found["bars"]}
    assert names["motion: points lost on holdout"], done.stderr
