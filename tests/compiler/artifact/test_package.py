"""The artifact is really an OCI layout of ModelPack manifests (compiler 6.1)."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from limosa_compiler.artifact.archive_file import archive_of
from limosa_compiler.artifact.package import VariantFiles, package_release
from limosa_compiler.building import BuildResult
from limosa_contracts.errors import InvalidArtifact
from limosa_contracts.oci import Requirements
from limosa_contracts.serving import Serving
from tests.support.artifacts import packaged_release
from tests.support.programs import require_program


def test_model_config_is_what_modelpack_demands(toy: BuildResult) -> None:
    (variant,) = toy.archive.variants
    config = json.loads(toy.archive.blobs[variant.manifest.config.digest])
    assert set(config) == {"descriptor", "config", "modelfs"}
    assert config["modelfs"] == {
        "type": "layers",
        "diffIds": [layer.digest for layer in variant.manifest.layers],
    }
    assert config["config"] == {"format": "onnx", "precision": "int8"}
    assert config["descriptor"] == {"name": "demo/toy", "version": "1.0.0", "licenses": ["Apache-2.0"]}


def test_config_of_a_tflite_variant_names_its_own_format(toy: BuildResult) -> None:
    (variant,) = toy.archive.variants
    files = toy.archive.files(variant)
    serving = replace(Serving.parse(files["serving.json"]), model_file="model.tflite", runtime="litert")
    files = {"model.tflite": files.pop("model.onnx"), **files, "serving.json": serving.encode()}
    made = package_release([VariantFiles(name="rpi4", files=files, requirements=variant.requirements)])
    (other,) = archive_of(made.blobs, made.index).variants
    assert json.loads(made.blobs[other.manifest.config.digest])["config"]["format"] == "tflite"
    assert other.manifest.layers[0].filename == "model.tflite"


def test_layers_have_modelpack_types_and_flat_names(toy: BuildResult) -> None:
    (variant,) = toy.archive.variants
    types = {layer.filename: layer.media_type.split(".cncf.model.")[1] for layer in variant.manifest.layers}
    assert types == {
        "model.onnx": "weight.v1.raw",
        "serving.json": "weight.config.v1.raw",
        "labels.json": "weight.config.v1.raw",
        "baseline.json": "weight.config.v1.raw",
        "bom.json": "doc.v1.raw",
        "card.md": "doc.v1.raw",
        "golden.safetensors": "dataset.v1.raw",
    }


def test_manifest_records_tools_and_hashes_of_inputs(toy: BuildResult) -> None:
    said = toy.archive.variants[0].manifest.annotations
    assert set(json.loads(said["dev.limosa.tools"])) == {"limosa", "numpy", "onnx", "onnxruntime"}
    assert set(json.loads(said["dev.limosa.inputs"])) == {"model", "calibration", "evaluation", "ranges"}
    assert said["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_equal_files_give_equal_digests() -> None:
    assert packaged_release("demo/m@1.0.0").index == packaged_release("demo/m@1.0.0").index
    assert packaged_release("demo/m@1.0.0").index != packaged_release("demo/m@1.0.1").index


def test_variants_that_make_no_release_are_refused() -> None:
    with pytest.raises(InvalidArtifact):
        package_release([])
    with pytest.raises(InvalidArtifact, match="no serving"):
        package_release([VariantFiles(name="a", files={}, requirements=Requirements())])
    with pytest.raises(InvalidArtifact, match="names must differ"):
        packaged_release("demo/m@1.0.0", variants=("same", "same"))


@pytest.mark.needs_skopeo
def test_stock_skopeo_reads_and_copies_the_artifact(toy: BuildResult, tmp_path: Path) -> None:
    skopeo = require_program("skopeo")

    def run(*words: str) -> bytes:
        return subprocess.run([skopeo, *words], capture_output=True, check=True, timeout=60).stdout

    raw = run("inspect", "--raw", f"oci-archive:{toy.path}")
    assert hashlib.sha256(raw).hexdigest() == toy.index_digest.removeprefix("sha256:")
    policy = tmp_path / "policy.json"
    policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    target = tmp_path / "copied"
    run(
        "--policy",
        str(policy),
        "copy",
        "--all",
        "--preserve-digests",
        f"oci-archive:{toy.path}",
        f"dir:{target}",
    )
    copied = {hashlib.sha256(path.read_bytes()).hexdigest() for path in target.iterdir()}
    assert {digest.removeprefix("sha256:") for digest in toy.archive.blobs} <= copied
