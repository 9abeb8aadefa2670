"""Builds from start to end: what is chosen, that it repeats, and bad input (issue: bad input)."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from limosa_compiler.building import BuildResult, build
from limosa_compiler.choice.choose import Standing
from limosa_compiler.errors import (
    DataMismatch,
    GateNotMet,
    LabelsMissing,
    ModelRefused,
    NotAModel,
    TooFewRows,
    UnknownTarget,
    UnsupportedShape,
)
from limosa_compiler.evidence.evidence import Evidence
from limosa_compiler.recipe import Recipe, read_recipe
from limosa_contracts.errors import InvalidField
from limosa_contracts.serving import FILE, Serving
from limosa_devices.demo.motion import CHANNELS, CLASSES, asset, load
from tests.compiler.conftest import TOY
from tests.compiler.graphs import bomb, classifier, model_of, recipe_folder, rows
from tests.support.processes import script

Build = Callable[[Path], BuildResult]


def motion_folder(folder: Path, version: str = "2.0.0") -> Path:
    """The demo's model and data as a recipe."""
    arrays: dict[str, dict[str, np.ndarray[Any, Any]]] = {
        split: {"window": motion.window, "label": motion.label}
        for split, motion in (("calibration", load("calibration")), ("evaluation", load("evaluation")))
    }
    channels = json.dumps(list(CHANNELS))
    more = f"classes = {json.dumps(list(CLASSES))}\n[inputs.window]\nchannels = {channels}\n"
    return recipe_folder(
        folder,
        asset(f"motion-{version}.onnx"),
        calibration=arrays["calibration"],
        evaluation=arrays["evaluation"],
        more=more,
    )


def test_demo_model_becomes_int8_a_third_of_the_size_and_as_good(tmp_path: Path, build_recipe: Build) -> None:
    built = build_recipe(motion_folder(tmp_path / "motion"))
    (choice,) = built.evidence.choices
    chosen = built.evidence.candidate(choice.chosen or "")
    fp32 = built.evidence.candidate("fp32")
    assert chosen is not None
    assert fp32 is not None
    assert chosen.precision == "int8"
    assert chosen.size < 0.4 * fp32.size
    assert chosen.holdout.metric > fp32.holdout.metric - 0.01
    serving = Serving.parse(built.archive.files(built.archive.variants[0])[FILE])
    assert serving.classes == CLASSES
    assert serving.probabilities == "probabilities"
    assert serving.features[0].name == "ax [g] mean"
    assert built.seconds < 20


def test_built_twice_by_two_processes_it_is_the_same_file(tmp_path: Path) -> None:
    recipe = motion_folder(tmp_path / "motion")
    digests: list[str] = []
    for seed in ("1", "2"):
        output = tmp_path / seed
        done = subprocess.run(
            [script("limosa"), "build", str(recipe), "--output", str(output), "--json"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        said = json.loads(done.stdout)
        assert said["targets"]["generic-x86-64"].startswith("int8-7bit-")
        assert "make int8 " in done.stderr
        assert "measure int8-7bit-" in done.stderr
        digests.append(hashlib.sha256(Path(said["artifact"]).read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_source_date_epoch_moves_the_files_time_and_not_the_releases_digest(tmp_path: Path) -> None:
    recipe = Recipe.parse(read_recipe(recipe_folder(tmp_path / "r", classifier())), folder=tmp_path / "r")
    old, new = (build(recipe, folder=tmp_path / str(mtime), mtime=mtime) for mtime in (0, 1_700_000_000))
    assert old.path.read_bytes() != new.path.read_bytes()
    assert old.index_digest == new.index_digest


def test_replay_takes_recorded_latencies(tmp_path: Path, toy: BuildResult) -> None:
    folder = tmp_path / "r"
    recipe = Recipe.parse(read_recipe(recipe_folder(folder, classifier(), more=TOY)), folder=folder)
    recorded = Evidence.parse(toy.evidence_path.read_bytes())
    again = build(recipe, folder=tmp_path / "again", replay=recorded)
    assert [item.latency for item in again.evidence.candidates] == [
        item.latency for item in recorded.candidates
    ]
    assert again.index_digest == toy.index_digest


def test_equal_variants_share_their_blobs_and_the_pickiest_comes_first(
    tmp_path: Path, build_recipe: Build
) -> None:
    recipe = recipe_folder(tmp_path / "r", classifier())
    recipe.write_text(
        recipe.read_text().replace('["generic-x86-64"]', '["generic-x86-64", "n100", "generic-aarch64"]')
    )
    built = build_recipe(recipe)
    assert [variant.name for variant in built.archive.variants] == [
        "n100",
        "generic-aarch64",
        "generic-x86-64",
    ]
    assert len({variant.manifest.layer("model.onnx").digest for variant in built.archive.variants}) == 1
    assert built.archive.variants[0].requirements.cpu_features == ("avx2", "vnni")
    assert built.archive.variants[1].descriptor.platform == {"os": "linux", "architecture": "arm64"}


def test_every_candidate_is_in_the_evidence_with_its_reason(toy: BuildResult) -> None:
    names = [item.name for item in toy.evidence.candidates]
    assert names[0] == "fp32"
    assert any(name.startswith("int8-7bit-") for name in names)
    (choice,) = toy.evidence.choices
    assert [verdict.candidate for verdict in choice.verdicts][: len(names)] == names
    pruned = [verdict for verdict in choice.verdicts if verdict.standing is Standing.PRUNED]
    assert len(choice.verdicts) == len(names) + len(pruned)
    assert all(verdict.reason for verdict in choice.verdicts)
    assert [v.standing for v in choice.verdicts].count(Standing.CHOSEN) == 1
    assert Evidence.parse(toy.evidence_path.read_bytes()) == toy.evidence


def test_nothing_measured_is_in_the_artifact(toy: BuildResult) -> None:
    texts = b"".join(data for data in toy.archive.blobs.values() if data.startswith(b"{"))
    assert b"median_us" not in texts
    assert b"seconds" not in texts
    assert b"sha256:" in texts


def test_gate_that_nothing_meets_says_what_came_closest_and_writes_nothing(
    tmp_path: Path, build_recipe: Build
) -> None:
    recipe = recipe_folder(tmp_path / "r", classifier(), more="[gate]\nmin_metric = 1.5\n")
    with pytest.raises(GateNotMet) as refused:
        build_recipe(recipe)
    assert "below 1.5" in refused.value.why
    closest = refused.value.evidence["closest"]
    assert isinstance(closest, list)
    pruned = refused.value.evidence["pruned"]
    assert isinstance(pruned, list)
    assert len(closest) + len(pruned) >= 2
    assert not (tmp_path / "dist").exists()


def test_few_holdout_rows_are_warned_of(tmp_path: Path, build_recipe: Build) -> None:
    built = build_recipe(recipe_folder(tmp_path / "r", classifier(), evaluation=rows(300, seed=2)))
    assert any("holdout rows" in warning for warning in built.evidence.warnings)


def test_model_with_a_batch_of_one_is_fed_row_by_row(tmp_path: Path, build_recipe: Build) -> None:
    built = build_recipe(recipe_folder(tmp_path / "r", classifier(batch=1), evaluation=rows(260, seed=2)))
    serving = Serving.parse(built.archive.files(built.archive.variants[0])[FILE])
    assert serving.inputs[0].shape == (1, 4)


def test_regression_is_measured_by_rmse(tmp_path: Path, build_recipe: Build) -> None:
    weight = np.array([[1.0], [2.0], [3.0], [4.0]], np.float32)
    model = model_of(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="mm")],
        {"w": weight},
        {"x": ["N", 4]},
        {"y": ["N", 1]},
    )
    data = rows(600, seed=2)
    data["label"] = (data["x"] @ weight + np.random.default_rng(3).normal(scale=0.5, size=(600, 1))).ravel()
    recipe = recipe_folder(
        tmp_path / "r",
        model,
        evaluation=data,
        more='[metric]\nname = "rmse"\n[gate]\nmax_loss_points = 20\nmin_metric = 1.0\n',
    )
    built = build_recipe(recipe)
    serving = Serving.parse(built.archive.files(built.archive.variants[0])[FILE])
    assert (serving.task, serving.probabilities, serving.classes) == ("regression", "", ())


def without(name: str, count: int = 300) -> dict[str, np.ndarray[Any, Any]]:
    data = rows(count)
    del data[name]
    return data


def test_bad_input_is_refused_by_its_own_error_and_leaves_no_file(
    tmp_path: Path, build_recipe: Build
) -> None:
    fixed = classifier(batch=8)
    text = model_of([helper.make_node("Relu", ["x"], ["y"], name="r")], {}, {"x": ["N", 4]}, {"y": ["N", 4]})
    text.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    cases: list[tuple[type[Exception], onnx.ModelProto | bytes, dict[str, Any]]] = [
        (NotAModel, b"this is not ONNX", {}),
        (DataMismatch, classifier(), {"calibration": without("x")}),
        (DataMismatch, classifier(), {"evaluation": {"x": np.zeros((300, 5), np.float32)}}),
        (LabelsMissing, classifier(), {"evaluation": without("label")}),
        (TooFewRows, classifier(), {"evaluation": rows(5)}),
        (UnsupportedShape, fixed, {}),
        (UnknownTarget, classifier(), {"more": ""}),
        (InvalidField, classifier(), {"more": "[metric]\noutput = 'score'\n"}),
        (InvalidField, classifier(), {"more": "[inputs.z]\nlow = 0\n"}),
        (ModelRefused, bomb(4 * 1024**3), {}),
    ]
    for number, (expected, model, data) in enumerate(cases):
        recipe = recipe_folder(tmp_path / str(number), model, **data)
        if expected is UnknownTarget:
            recipe.write_text(recipe.read_text().replace("generic-x86-64", "generic-x86"))
        with pytest.raises(expected):
            build_recipe(recipe)
        assert not (tmp_path / "dist").exists()


def test_unknown_target_names_the_nearest(tmp_path: Path, build_recipe: Build) -> None:
    recipe = recipe_folder(tmp_path / "r", classifier())
    recipe.write_text(recipe.read_text().replace("generic-x86-64", "generic-x86_64"))
    with pytest.raises(UnknownTarget) as refused:
        build_recipe(recipe)
    assert "'generic-x86-64'" in refused.value.hint


def test_model_that_cannot_be_quantized_is_still_shipped_as_fp32(tmp_path: Path, build_recipe: Build) -> None:
    model = model_of(
        [helper.make_node("Sin", ["x"], ["y"], name="sin")], {}, {"x": ["N", 4]}, {"y": ["N", 4]}
    )
    built = build_recipe(recipe_folder(tmp_path / "r", model))
    assert [choice.chosen for choice in built.evidence.choices] == ["fp32"]
    assert {item.reason for item in built.evidence.left_out} == {"not_applicable"}
