"""Whole builds under each kind of gate: slices, agreement without labels, memory, replay (compiler 2.6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from limosa_compiler.building import BuildResult, build
from limosa_compiler.errors import DataMismatch, GateNotMet, MetricFailed
from limosa_compiler.evidence.evidence import Evidence
from limosa_compiler.recipe import Recipe, read_recipe
from limosa_compiler.recipe.gate import Gate, Prefer
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.oci import digest_of
from tests.compiler.conftest import TOY
from tests.compiler.graphs import classifier, model_of, recipe_folder, rows

Build = Callable[[Path], BuildResult]


def sliced(count: int) -> dict[str, np.ndarray[Any, Any]]:
    """Persons 1 and 2, and a third with a few rows only."""
    person = np.where(np.arange(count) < 25, 3, np.arange(count) % 2 + 1)
    return {**rows(count, seed=2), "person": person}


def sliced_recipe(folder: Path, *, gate: str) -> Path:
    recipe = recipe_folder(folder, classifier(), evaluation=sliced(600), more=gate)
    text = recipe.read_text().replace('"evaluation.npz" }', '"evaluation.npz", slices = ["person"] }')
    recipe.write_text(text)
    return recipe


def test_every_candidate_is_measured_by_slice_and_small_slices_are_warned_of(
    tmp_path: Path, build_recipe: Build
) -> None:
    built = build_recipe(
        sliced_recipe(tmp_path / "r", gate="[gate]\nmax_slice_loss_points = 20\nmax_loss_points = 10\n")
    )
    for item in built.evidence.candidates:
        assert list(item.tune_slices) == ["person=1", "person=2", "person=3"]
        assert sum(score.rows for score in item.tune_slices.values()) == item.tune.rows
        assert sum(score.rows for score in item.holdout_slices.values()) == item.holdout.rows
    assert any("slice person=3" in warning for warning in built.evidence.warnings)
    assert Evidence.parse(built.evidence_path.read_bytes()) == built.evidence


def test_model_is_compared_with_its_own_fp32_answers_where_there_are_no_labels(
    tmp_path: Path, build_recipe: Build
) -> None:
    data = rows(600, seed=2)
    del data["label"]
    for name, low, high in (("cosine", 0.9, 1.0), ("sqnr", 15.0, 80.0)):
        recipe = recipe_folder(
            tmp_path / name,
            classifier(),
            evaluation=data,
            more=f'[metric]\nname = "{name}"\n[gate]\nmax_loss_points = 5\n',
        )
        built = build_recipe(recipe)
        (chosen,) = built.chosen.values()
        assert chosen.precision == "int8"
        assert low < chosen.tune.metric < high
        fp32 = built.evidence.candidate("fp32")
        assert fp32 is not None
        assert fp32.tune.points == 0


def test_memory_and_load_time_are_measured_promised_and_replayed(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    recipe = Recipe.parse(read_recipe(recipe_folder(folder, classifier(), more=TOY)), folder=folder)
    built = build(recipe, folder=tmp_path / "one")
    recorded = Evidence.parse(built.evidence_path.read_bytes())
    again = build(recipe, folder=tmp_path / "two", replay=recorded)
    for item, other in zip(built.evidence.candidates, again.evidence.candidates, strict=True):
        assert item.memory_bytes is not None
        assert item.load_ms is not None
        assert item.recorded == other.recorded
    (promise,) = again.evidence.promises
    (choice,) = again.evidence.choices
    assert promise.candidate == choice.chosen
    assert promise.artifact_bytes == sum(layer.size for layer in again.archive.variants[0].manifest.layers)
    assert again.index_digest == built.index_digest


@pytest.mark.parametrize("bound", ["max_size_bytes = 10", "max_memory_bytes = 10", "max_load_ms = 0.001"])
def test_gate_that_no_candidate_holds_ends_the_build_with_what_each_of_them_needs(
    tmp_path: Path, build_recipe: Build, bound: str
) -> None:
    with pytest.raises(GateNotMet) as refused:
        build_recipe(
            recipe_folder(tmp_path / "r", classifier(), more=f"[gate]\nmax_loss_points = 10\n{bound}\n")
        )
    assert "are allowed" in refused.value.why
    assert not (tmp_path / "dist").exists()


def test_share_above_one_is_asked_for_in_vain_and_the_hint_says_so(
    tmp_path: Path, build_recipe: Build
) -> None:
    with pytest.raises(GateNotMet) as refused:
        build_recipe(recipe_folder(tmp_path / "r", classifier(), more="[gate]\nmin_metric = 1.01\n"))
    assert "accuracy is never above 1" in refused.value.hint


def test_preference_of_the_recipe_decides(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    recipe = Recipe.parse(read_recipe(recipe_folder(folder, classifier(), more=TOY)), folder=folder)
    built = {
        prefer: build(replace(recipe, prefer=prefer), folder=tmp_path / prefer.value) for prefer in Prefer
    }
    sizes = {prefer: next(iter(result.chosen.values())).size for prefer, result in built.items()}
    points = {prefer: next(iter(result.chosen.values())).tune.points for prefer, result in built.items()}
    assert sizes[Prefer.SIZE] == min(sizes.values())
    assert points[Prefer.ACCURACY] == max(points.values())
    assert built[Prefer.LATENCY].evidence.build["prefer"] == "latency"


def test_model_whose_answers_are_not_numbers_is_refused(tmp_path: Path, build_recipe: Build) -> None:
    model = model_of(
        [helper.make_node("Log", ["x"], ["y"], name="log")], {}, {"x": ["N", 4]}, {"y": ["N", 4]}
    )
    with pytest.raises(Exception, match=r"not a number|NaN"):
        build_recipe(recipe_folder(tmp_path / "r", model))


def test_own_metric_that_raises_ends_the_build(
    tmp_path: Path, build_recipe: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "metric_that_raises.py").write_text("def f(answers, labels):\n    return answers / nothing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    more = '[metric]\nname = "python:metric_that_raises:f"\n'
    with pytest.raises(MetricFailed) as failed:
        build_recipe(recipe_folder(tmp_path / "r", classifier(), more=more))
    assert "NameError: name 'nothing' is not defined (line 2 of" in failed.value.why
    assert not (tmp_path / "dist").exists()


def test_code_of_an_own_metric_is_an_input_of_the_build(
    tmp_path: Path, build_recipe: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = b"def f(answers, labels):\n    return (answers.argmax(1) == labels).astype(float)\n"
    (tmp_path / "metric_of_a_team.py").write_bytes(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    more = '[metric]\nname = "python:metric_of_a_team:f"\n[gate]\nmax_loss_points = 10\n'
    built = build_recipe(recipe_folder(tmp_path / "r", classifier(), more=more))
    assert built.evidence.inputs["metric"] == digest_of(code)
    assert next(iter(built.chosen.values())).tune.metric > 0.9


def test_column_of_measurements_named_as_a_slice_is_refused(tmp_path: Path, build_recipe: Build) -> None:
    recipe = sliced_recipe(tmp_path / "r", gate=TOY)
    np.savez(recipe.parent / "evaluation.npz", **{**sliced(600), "person": np.arange(600)})  # type: ignore[arg-type]  # numpy's stub takes the keyword for allow_pickle
    with pytest.raises(DataMismatch, match="different values"):
        build_recipe(recipe)


@pytest.mark.parametrize(
    "gate",
    [
        {"max_size_bytes": 0},
        {"max_size_bytes": 1.5},
        {"max_size_ratio": 0},
        {"max_latency_ratio": -1},
        {"max_memory_bytes": 0},
        {"max_load_ms": 0},
        {"max_slice_loss_points": -1},
        {"max_slice_loss_points": 101},
        {"min_metric": float("nan")},
    ],
)
def test_bound_that_nothing_can_hold_is_refused_when_it_is_read(gate: dict[str, Any]) -> None:
    with pytest.raises(InvalidField) as refused:
        Gate.parse(Fields(gate, where="gate"))
    assert refused.value.where == f"gate.{next(iter(gate))}"


def test_gate_survives_writing_and_reading_and_leaves_out_what_is_not_set() -> None:
    gate = Gate(max_latency_ratio=1.0, max_memory_bytes=5)
    assert Gate.parse(Fields(gate.as_json(), where="gate")) == gate
    assert set(Gate().as_json()) == {"max_loss_points", "min_metric"}
