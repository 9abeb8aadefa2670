"""`limosa_compiler.build` as a notebook or a pipeline calls it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest

import limosa_compiler
from limosa_compiler.errors import GateNotMet
from limosa_contracts.errors import InvalidField
from tests.compiler import graphs

RECIPE = """
name = "demo/doors"
version = "1.0.0"
model = "model.onnx"
targets = ["rpi4", "generic-x86-64"]

[data]
calibration = "data.npz"
evaluation = "data.npz"
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    onnx.save(graphs.classifier(), tmp_path / "model.onnx")
    x = np.random.default_rng(0).normal(size=(200, graphs.FEATURES)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, label=x[:, :3].argmax(axis=1))
    path = tmp_path / "limosa.toml"
    path.write_text(RECIPE)
    return path


def test_a_pipeline_sets_version_and_model_and_reads_typed_results(recipe: Path, tmp_path: Path) -> None:
    other = tmp_path / "retrained.onnx"
    onnx.save(graphs.classifier(opset=18), other)
    result = limosa_compiler.build(recipe, version="1.4.0", model=other, folder=tmp_path / "dist")
    assert result.path == tmp_path / "dist" / "doors-1.4.0.limosa"
    assert set(result.chosen) == {"rpi4", "generic-x86-64"}
    assert all(isinstance(item, limosa_compiler.Measured) for item in result.chosen.values())
    assert result.chosen["rpi4"].holdout.metric == 1.0


def test_a_notebook_shows_a_result_in_a_few_lines_and_no_bytes_of_models(
    recipe: Path, tmp_path: Path
) -> None:
    result = limosa_compiler.build(recipe, folder=tmp_path / "dist")
    first, *targets = repr(result).splitlines()
    assert first.startswith("BuildResult(demo/doors@1.0.0, ")
    assert [line.split(":")[0].strip() for line in targets] == list(result.chosen)
    assert "bytes, holdout 1.0000" in targets[0]
    assert len(repr(result.archive)) < 20_000


def test_a_folder_that_cannot_be_is_refused_before_anything_is_measured(recipe: Path, tmp_path: Path) -> None:
    passes: list[str] = []
    with pytest.raises(NotADirectoryError):
        limosa_compiler.build(
            recipe, folder=recipe / "dist", on_pass=lambda report: passes.append(report.name)
        )
    assert passes == []


def test_a_recipe_that_is_parsed_already_takes_version_and_model_too(recipe: Path, tmp_path: Path) -> None:
    parsed = limosa_compiler.Recipe.parse(tomllib.loads(RECIPE), folder=tmp_path)
    other = tmp_path / "retrained.onnx"
    onnx.save(graphs.classifier(opset=18), other)
    result = limosa_compiler.build(parsed, version="1.4.0", model=other, folder=tmp_path / "dist")
    from_file = limosa_compiler.build(recipe, version="1.4.0", model=other, folder=tmp_path / "again")
    assert str(result.evidence.release) == "demo/doors@1.4.0"
    assert result.index_digest == from_file.index_digest


def test_a_document_is_as_good_as_a_file(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_file = limosa_compiler.build(str(recipe), folder=tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    from_document = limosa_compiler.build(tomllib.loads(RECIPE), folder="b")
    assert from_document.index_digest == from_file.index_digest


def test_a_gate_that_fails_raises_with_what_came_closest(recipe: Path, tmp_path: Path) -> None:
    strict = tomllib.loads(RECIPE) | {"gate": {"max_size_bytes": 1}, "model": str(tmp_path / "model.onnx")}
    strict["data"] = {"calibration": str(tmp_path / "data.npz"), "evaluation": str(tmp_path / "data.npz")}
    with pytest.raises(GateNotMet) as caught:
        limosa_compiler.build(strict, folder=tmp_path / "dist")
    assert caught.value.evidence["closest"]
    assert not (tmp_path / "dist").exists()


def test_a_wrong_recipe_says_where(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("targets", "target"))
    with pytest.raises(InvalidField):
        limosa_compiler.build(recipe)
