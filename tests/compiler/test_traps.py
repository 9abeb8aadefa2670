"""Traps that were found by trying (compiler 3), each where it would be stepped into.

Further ones have their tests beside what avoids them: versions that onnx writes and unnamed nodes in
`ingest/test_ingest.py`; Gemm biases, names and exclusions in `rungs/test_static_int8.py`; casts in
`rungs/test_fp16.py`; convolutions and dynamic int8 in `rungs/test_weight_rungs.py`; branches and loops in
`rungs/test_control_flow.py`; time that does not decide in `choice/test_choose.py`; LiteRT's versions in
`litert/test_build.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from benchmarks.real_data import case_of
from limosa_compiler.arrays import Array
from limosa_compiler.building import build
from limosa_compiler.calibration.calibrate import unoptimized
from limosa_compiler.calibration.range_table import CUTS, MINMAX
from limosa_compiler.evidence.evidence import Evidence
from limosa_compiler.ingest import IR_MAX, OPSET_MAX, STANDARD_DOMAINS
from limosa_compiler.limits import LIMITS
from limosa_compiler.passes import PassReport
from limosa_compiler.recipe import Recipe, read_recipe
from limosa_compiler.rungs import static_int8
from limosa_compiler.rungs.static_int8 import Setting
from limosa_compiler.running.runner import Runner
from tests.compiler.conftest import TOY
from tests.compiler.graphs import FEATURES, classifier, model_of, recipe_folder
from tests.compiler.ladder_digests import mixed
from tests.compiler.rungs.material import material_of
from tests.support.real_models import require_model

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING = Setting(ranges=MINMAX, core_only=False)


# compiler 3: real models break where toys do not
def test_file_type_classifier_that_static_int8_breaks_is_whole_with_ranges_of_least_error() -> None:
    path = require_model("magika")
    case = case_of("magika").take(40, 160)
    labels = case.evaluation["label"]
    x = {"bytes": case.evaluation["bytes"]}
    material = material_of(onnx.load_model_from_string(path.read_bytes()), case.calibration)

    def right(model: bytes) -> float:
        (answers,) = Runner(model).predict(x).values()
        return float((answers.argmax(axis=1) == labels).mean())

    fp32 = right(path.read_bytes())
    as_documented = static_int8.make(material, EVERYTHING)
    ours = static_int8.make(material, Setting(ranges="mse", core_only=True))
    assert fp32 > 0.9
    assert right(as_documented.model) < fp32 - 0.2
    assert right(ours.model) > fp32 - 0.02
    assert ours.size < 0.3 * path.stat().st_size


# compiler 3: no calibrator wins everywhere
def test_no_calibrator_wins_everywhere_so_several_are_tried() -> None:
    """A stray value in the calibration data ruins extremes; rare values that matter are lost without them."""
    assert (MINMAX, *CUTS) == ("minmax", "p99.999", "p99.9", "mse"), "Distribution and entropy are not"
    model = model_of(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="one")],
        {"w": np.eye(FEATURES, dtype=np.float32)},
        {"x": ["N", FEATURES]},
        {"y": ["N", FEATURES]},
    )
    plain = np.random.default_rng(1).uniform(-1, 1, (4000, FEATURES)).astype(np.float32)
    rare = plain.copy()
    rare[0] = 40

    def error(calibrated: Array, asked: Array, ranges: str) -> float:
        material = material_of(model, {"x": calibrated})
        made = static_int8.make(material, Setting(ranges=ranges, core_only=True))
        answers = Runner(made.model).predict({"x": asked})["y"]
        return float(np.abs(answers - asked).mean())

    assert error(rare, plain, "p99.9") < 0.1 * error(rare, plain, "minmax")
    assert error(rare, rare[:1], "minmax") < 0.1 * error(rare, rare[:1], "p99.9")


# compiler 3: saved optimised graphs are not reproducible and are hardware-specific
def test_no_optimised_graph_is_shipped() -> None:
    """onnxruntime fuses a convolution and its Relu into an operator of its own: it must not come out."""
    x = {"x": np.random.default_rng(2).normal(size=(32, 3, 16)).astype(np.float32)}
    material = material_of(mixed(), x)
    for setting in (EVERYTHING, replace(EVERYTHING, core_only=True)):
        made = onnx.load_model_from_string(static_int8.make(material, setting).model)
        assert {node.domain for node in made.graph.node} <= set(STANDARD_DOMAINS)
        assert {entry.domain for entry in made.opset_import if entry.domain not in STANDARD_DOMAINS} == set()
        assert made.ir_version <= IR_MAX
        assert max(entry.version for entry in made.opset_import if not entry.domain) <= OPSET_MAX
    sources = (ROOT / "compiler" / "limosa_compiler").rglob("*.py")
    assert not [path.name for path in sources if "optimized_model_filepath" in path.read_text()]


def test_fp32_is_the_model_as_it_came_not_as_a_runtime_would_have_it() -> None:
    material = material_of(classifier(), {"x": np.ones((8, FEATURES), np.float32)})
    assert [node.op_type for node in material.model.graph.node] == [
        node.op_type for node in classifier().graph.node
    ]


# compiler 3: quantization itself is byte-reproducible
def test_every_rung_gives_the_same_bytes_under_two_hash_seeds_and_two_thread_counts() -> None:
    command = [sys.executable, "-m", "tests.compiler.ladder_digests"]
    started = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for seed, threads in (("1", "1"), ("2", "2"))
    ]
    outputs = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    first, second = (json.loads(said) for said, _ in outputs)
    assert first == second
    made = [name for name, value in first.items() if value.startswith("sha256:")]
    assert {"fp16", "int4", "int8-dynamic", "int8-7bit-dynamic", "int8-mse", "int8-7bit-core-p99.9"} <= set(
        made
    )
    assert any("-float" in name for name in made), "the search is among them"
    assert len(made) >= 20


def test_answers_of_a_model_without_optimization_are_those_of_another_run() -> None:
    """Calibration runs unoptimized; what it sees must repeat to the bit."""
    x = {"x": np.random.default_rng(2).normal(size=(200, 3, 16)).astype(np.float32)}
    data = mixed().SerializeToString()
    first, second = (unoptimized(data).predict(x)["y"].tobytes() for _ in range(2))
    assert first == second


# compiler 8: cached calibration; 6.2: the same inputs give the same bytes
def test_artifact_is_the_same_with_a_new_a_known_and_a_damaged_cache_and_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("limosa_compiler.search.ladder.LIMITS", replace(LIMITS, calibration_kept_bytes=1))
    folder = tmp_path / "r"
    recipe = Recipe.parse(read_recipe(recipe_folder(folder, classifier(), more=TOY)), folder=folder)

    def digest_and_note(name: str, *, cache: bool = True, replay: Evidence | None = None) -> tuple[str, str]:
        reports: list[PassReport] = []
        wanted = replace(recipe, search=replace(recipe.search, cache=cache))
        built = build(wanted, folder=tmp_path / name, on_pass=reports.append, replay=replay)
        return built.index_digest, next(item.note for item in reports if item.name == "calibrate")

    first = build(recipe, folder=tmp_path / "first")
    known = Evidence.parse(first.evidence_path.read_bytes())
    assert digest_and_note("warm", replay=known) == (first.index_digest, "from the cache")
    (table,) = (tmp_path / "cache").rglob("*.json")
    table.write_bytes(table.read_bytes()[:-20])
    assert digest_and_note("damaged", replay=known) == (first.index_digest, "100 rows")
    assert digest_and_note("mended", replay=known) == (first.index_digest, "from the cache")
    assert digest_and_note("without", cache=False, replay=known) == (first.index_digest, "100 rows")
