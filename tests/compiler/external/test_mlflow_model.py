"""Models from MLflow: a model folder needs nothing installed, a registry's URI needs the extra."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from limosa_compiler.building import build
from limosa_compiler.errors import RegistryFailed
from limosa_compiler.external.mlflow_model import is_uri, model_file, read_folder
from limosa_compiler.recipe import Recipe, read_recipe
from tests.compiler.conftest import TOY
from tests.compiler.graphs import classifier, recipe_folder

DESCRIPTION = """artifact_path: model
flavors:
  onnx:
    code: null
    data: model.onnx
    onnx_version: 1.17.0
    providers:
    - CPUExecutionProvider
  python_function:
    data: model.onnx
    loader_module: mlflow.onnx
mlflow_version: 3.1.0
model_uuid: 0a1b
run_id: 5d1ab4
signature:
  inputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1,
    4]}}]'
utc_time_created: '2026-11-20 08:00:00.000000'
"""


def folder_of(path: Path, description: str = DESCRIPTION) -> Path:
    path.mkdir(parents=True)
    (path / "MLmodel").write_text(description)
    (path / "model.onnx").write_bytes(classifier().SerializeToString())
    return path


def test_model_folder_is_built_without_mlflow_and_its_run_is_lineage(tmp_path: Path) -> None:
    recipe = recipe_folder(tmp_path / "r", classifier(), more=TOY)
    folder_of(tmp_path / "r" / "mlmodel")
    recipe.write_text(recipe.read_text().replace('"model.onnx"', '"mlmodel"'))
    built = build(Recipe.parse(read_recipe(recipe), folder=recipe.parent), folder=tmp_path / "dist")
    said = built.archive.variants[0].manifest.annotations
    assert said["dev.limosa.lineage.mlflow_run_id"] == "5d1ab4"
    assert built.evidence.lineage["mlflow_model_uuid"] == "0a1b"
    files = built.archive.files(built.archive.variants[0])
    assert b"5d1ab4" in files["card.md"]
    bom = json.loads(files["bom.json"])
    assert {"name": "limosa:lineage:mlflow_run_id", "value": "5d1ab4"} in bom["metadata"]["component"][
        "properties"
    ]


@pytest.mark.parametrize(
    "description, why",
    [
        (DESCRIPTION.replace("  onnx:", "  sklearn:"), "no ONNX flavour"),
        (DESCRIPTION.replace("data: model.onnx", "data: ../../secret", 1), "no file of its folder"),
        (DESCRIPTION.replace("data: model.onnx", "data: /etc/passwd", 1), "no file of its folder"),
        (DESCRIPTION.replace("data: model.onnx", "data: gone.onnx", 1), "no file of its folder"),
        ("flavors: [", "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_model_folder_that_is_wrong_is_one_coded_error(tmp_path: Path, description: str, why: str) -> None:
    with pytest.raises(RegistryFailed, match=why):
        read_folder(folder_of(tmp_path / "m", description))


def test_uri_is_told_from_a_path_and_a_recipe_keeps_it(tmp_path: Path) -> None:
    assert [is_uri(text) for text in ("models:/a/1", "runs:/1f/model", "models", "m.onnx")] == [
        True,
        True,
        False,
        False,
    ]
    recipe = recipe_folder(tmp_path / "r", classifier())
    recipe.write_text(recipe.read_text().replace('"model.onnx"', '"models:/toy@champion"'))
    assert str(Recipe.parse(read_recipe(recipe), folder=recipe.parent).model) == "models:/toy@champion"


def test_uri_without_mlflow_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(RegistryFailed) as refused, model_file(Path("models:/toy/1")):
        pass
    assert "limosa[mlflow]" in refused.value.hint


@pytest.mark.soak
def test_uri_is_had_from_a_real_registry_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mlflow-skinny brings 100 MB: it is not in the dev extra, so this is not in the suite."""
    assert importlib.util.find_spec("mlflow"), "pip install 'limosa[mlflow]'"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    client = MlflowClient()
    run = client.create_run(client.create_experiment("toy"))
    source = folder_of(tmp_path / "logged")
    client.log_artifacts(run.info.run_id, str(source), artifact_path="model")
    client.create_registered_model("toy")
    client.create_model_version("toy", source=f"{run.info.artifact_uri}/model", run_id=run.info.run_id)
    client.set_registered_model_alias("toy", "champion", "1")
    for uri in ("models:/toy/1", "models:/toy@champion", f"runs:/{run.info.run_id}/model"):
        with model_file(Path(uri)) as given:
            assert given.file.read_bytes() == (source / "model.onnx").read_bytes()
            assert given.lineage["mlflow_run_id"] in (run.info.run_id, "5d1ab4")
            assert given.lineage["mlflow_uri"] == uri
            if uri.startswith("models:"):
                assert given.lineage["mlflow_model"] == "toy/1"
                assert given.lineage["mlflow_run_id"] == run.info.run_id
        assert not given.file.exists()
    with pytest.raises(RegistryFailed), model_file(Path("models:/none/1")):
        pass
