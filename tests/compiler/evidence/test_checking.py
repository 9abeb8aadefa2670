"""limosa build --check: the same recipe gives the same artifact, or the command says what came in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limosa_compiler.artifact.archive_file import read_archive, write_archive
from limosa_compiler.building import BuildResult
from limosa_compiler.evidence.checking import differences
from limosa_compiler.evidence.provenance import machine
from limosa_compiler.trust.signatures import sign_archive
from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_contracts.signing_keys import Algorithm, SigningKey
from tests.compiler.conftest import TOY
from tests.compiler.graphs import classifier, recipe_folder, rows


def checked(capsys: pytest.CaptureFixture[str], recipe: Path, artifact: Path, *words: str) -> tuple[int, Any]:
    arguments = ["build", str(recipe), "--check", str(artifact), *words, "--json"]
    code = run(make_host(), prog_name="limosa", args=arguments)
    return code, json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_same_recipe_gives_the_signed_artifact_again_and_leaves_nothing_behind(
    capsys: pytest.CaptureFixture[str], toy: BuildResult, tmp_path: Path
) -> None:
    recipe = recipe_folder(tmp_path / "r", classifier(), more=TOY)
    signed = sign_archive(read_archive(toy.path), SigningKey.generate(Algorithm.P256))
    artifact = tmp_path / "toy-1.0.0.signed.limosa"
    write_archive(artifact, signed.blobs, signed.index, name="demo/toy", version="1.0.0")
    (tmp_path / toy.evidence_path.name).write_bytes(toy.evidence_path.read_bytes())
    before = sorted(tmp_path.rglob("*"))
    code, said = checked(capsys, recipe, artifact)
    assert (code, said["reproduced"], said["content"]) == (0, True, toy.archive.content_digest)
    assert sorted(tmp_path.rglob("*")) == before


def test_other_rows_and_another_gate_are_named_as_the_cause(
    capsys: pytest.CaptureFixture[str], toy: BuildResult, tmp_path: Path
) -> None:
    data = rows(600, seed=2)
    data["x"] = data["x"] + np.float32(1e-3)
    more = TOY.replace("max_loss_points = 10", "max_loss_points = 11")
    recipe = recipe_folder(tmp_path / "r", classifier(), evaluation=data, more=more)
    code, said = checked(capsys, recipe, toy.path)
    assert (code, said["error"]["code"]) == (3, "LM-146")
    found = said["error"]["evidence"]["differences"]
    assert found[0].startswith("input evaluation: sha256:")
    assert any(line.startswith("decision gate") for line in found)
    assert any("baseline.json" in line for line in found)
    assert not any("model" in line.split(":")[0] and line.startswith("input") for line in found)


def test_artifact_without_its_evidence_cannot_be_checked(
    capsys: pytest.CaptureFixture[str], toy: BuildResult, tmp_path: Path
) -> None:
    recipe = recipe_folder(tmp_path / "r", classifier(), more=TOY)
    artifact = tmp_path / toy.path.name
    artifact.write_bytes(toy.path.read_bytes())
    code, said = checked(capsys, recipe, artifact)
    assert (code, said["error"]["code"]) == (2, "LM-415")
    assert "--replay" in said["error"]["hint"]


def test_where_only_the_machine_differs_that_is_said() -> None:
    said = {
        "old": {"release": "a/b@1.0.0"},
        "new": {"release": "a/b@1.0.0"},
        "build": {"inputs": {}, "tools": {"onnx": ["1.22", "1.23"]}, "decision": {}},
        "variants": [
            {
                "name": "pi",
                "state": "changed",
                "candidate": ["int8", "fp32"],
                "files": {"model.onnx": ["sha256:" + "a" * 64, None]},
            }
        ],
    }
    assert differences(said, {**machine(), "cpu_features": "none"})[:2] == (
        "tool onnx: 1.22 then, 1.23 now",
        f"machine, cpu_features: none then, {machine()['cpu_features']} now",
    )
    assert differences(said, machine())[1:] == (
        "pi: candidate int8 then, fp32 now",
        "pi/model.onnx: sha256:aaaaaaaaaaaa… then, none now",
    )
