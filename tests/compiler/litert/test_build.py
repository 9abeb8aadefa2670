"""A build for boards with LiteRT: what they get, that it repeats, and what is said where it cannot be."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import onnx
import pytest
from onnx import helper

from limosa_agent.fetch.errors import NoFittingVariant
from limosa_agent.fetch.variant_choice import Capabilities, choose_variant
from limosa_compiler.artifact.golden_check import check_golden
from limosa_compiler.building import BuildResult
from limosa_compiler.errors import ModelRefused, ToolchainMissing
from limosa_compiler.litert.ladder import RUNGS
from limosa_compiler.litert.runner import LitertRunner
from limosa_compiler.litert.toolchain import Toolchain, pins
from limosa_contracts.errors import InvalidField
from limosa_contracts.oci import ImageIndex
from limosa_contracts.profiles import load_profiles
from limosa_contracts.serving import FILE, LABELS_FILE, Serving
from tests.compiler.conftest import TOY, build_from
from tests.compiler.graphs import classifier, recipe_folder
from tests.support.processes import script

BOARDS = ("tpu", "lite")


def boards(folder: Path) -> None:
    """Two boards with LiteRT only: one that takes int8 only, one that takes anything."""
    folder.mkdir(parents=True)
    for name, precisions in zip(BOARDS, ('["int8"]', '["int8", "fp16", "fp32"]'), strict=True):
        (folder / f"{name}.toml").write_text(
            f'schema = "limosa.profile/1"\nname = "{name}"\ntitle = "A board"\narchitectures = ["aarch64"]\n'
            f'cpu_features = ["neon"]\naccelerators = []\ncores = 4\nmemory_bytes = 1073741824\n'
            f"storage_bytes = 8589934592\nprecisions = {precisions}\n"
            '[[runtimes]]\nname = "litert"\nmin_version = "2.0"\n[source]\n'
        )


def recipe_for(
    folder: Path, *targets: str, model: onnx.ModelProto | bytes | None = None, more: str = TOY
) -> Path:
    boards(folder / "boards")
    recipe = recipe_folder(folder, model or classifier(), more=more)
    named = json.dumps(list(targets))
    recipe.write_text('profiles = "boards"\n' + recipe.read_text().replace('["generic-x86-64"]', named))
    return recipe


@pytest.fixture(scope="module")
def built(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    """For both boards and a PC; tests do not change its files."""
    folder = tmp_path_factory.mktemp("litert")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(toolchain.folder.parents[2]))
        return build_from(recipe_for(folder, *BOARDS, "generic-x86-64"), folder / "dist")


def test_each_target_chooses_among_the_candidates_of_its_runtimes(built: BuildResult) -> None:
    chosen = built.chosen
    assert chosen["tpu"].runtime == chosen["lite"].runtime == "litert"
    assert chosen["tpu"].precision == "int8"
    assert chosen["generic-x86-64"].runtime == "onnxruntime"
    names = {item.name for item in built.evidence.candidates}
    names |= {item.name for item in built.evidence.pruned} | {left.name for left in built.evidence.left_out}
    assert {f"litert-{rung.name}" for rung in RUNGS if rung.name != "int4"} | {"litert-fp32"} <= names
    tpu = next(choice for choice in built.evidence.choices if choice.target == "tpu")
    dynamic = next(item for item in tpu.verdicts if item.candidate == "litert-int8-dynamic")
    assert dynamic.standing.value in ("not_for_target", "pruned")


def test_conversion_agrees_with_onnx_and_clients_see_the_same_names_and_shapes(built: BuildResult) -> None:
    convert = next(report for report in built.evidence.passes if _name(report) == "convert litert-fp32")
    assert isinstance(convert, dict)
    error = convert["max_abs_error"]
    assert isinstance(error, float)
    assert error < 1e-5
    servings = [Serving.parse(built.archive.files(variant)[FILE]) for variant in built.archive.variants]
    assert all(serving.inputs == servings[0].inputs for serving in servings)
    assert all(serving.outputs == servings[0].outputs for serving in servings)
    assert servings[0].inputs[0].shape == (-1, 4)


def test_variant_names_its_runtime_with_the_version_on_which_golden_vectors_passed(
    built: BuildResult, toolchain_found: Toolchain
) -> None:
    variants = {variant.name: variant for variant in built.archive.variants}
    tpu = variants["tpu"]
    serving = Serving.parse(built.archive.files(tpu)[FILE])
    tested = pins()["ai-edge-litert"]
    assert (serving.runtime, serving.runtime_tested, serving.model_file) == ("litert", tested, "model.tflite")
    assert (tpu.requirements.runtime, tpu.requirements.runtime_min) == ("litert", tested)
    assert json.loads(tpu.manifest.annotations["dev.limosa.toolchain"]) == dict(pins())
    assert variants["generic-x86-64"].requirements.runtime == "onnxruntime"
    assert "dev.limosa.toolchain" not in variants["generic-x86-64"].manifest.annotations
    assert all(result.holds for result in check_golden(built.archive))


def test_variants_share_what_is_equal(built: BuildResult) -> None:
    variants = {variant.name: variant.manifest for variant in built.archive.variants}
    assert len({manifest.layer(LABELS_FILE).digest for manifest in variants.values()}) == 1
    tpu, lite = (variants[name] for name in BOARDS)
    if built.chosen["tpu"].name == built.chosen["lite"].name:
        assert tpu.layer("model.tflite").digest == lite.layer("model.tflite").digest
    assert len(built.archive.blobs) < sum(len(manifest.layers) + 2 for manifest in variants.values()) + 1


def test_device_without_litert_says_that_it_lacks_it(built: BuildResult) -> None:
    index = ImageIndex.parse(built.archive.blobs[built.archive.index_descriptor.digest])
    device = Capabilities(arch="aarch64", cpu_features=frozenset({"neon"}), runtimes={"onnxruntime": "1.20"})
    with pytest.raises(NoFittingVariant) as refused:
        choose_variant(index, device)
    assert "tpu: runtime litert is needed, this device has onnxruntime" in refused.value.why
    old = Capabilities(arch="aarch64", cpu_features=frozenset({"neon"}), runtimes={"litert": "2.1.0"})
    with pytest.raises(NoFittingVariant) as refused:
        choose_variant(index, old)
    assert f"litert {pins()['ai-edge-litert']} is needed, this is 2.1.0" in refused.value.why


def test_built_again_in_another_process_under_another_hash_seed_it_is_the_same_file(
    tmp_path: Path, built: BuildResult, toolchain_found: Toolchain
) -> None:
    recipe = built.path.parent.parent / "limosa.toml"
    done = subprocess.run(
        [script("limosa"), "build", "--replay", built.evidence_path, "--output", tmp_path, "--json", recipe],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    assert Path(json.loads(done.stdout)["artifact"]).read_bytes() == built.path.read_bytes()


def test_users_own_tflite_is_the_reference_and_is_quantized(
    tmp_path: Path, toolchain_found: Toolchain, built: BuildResult
) -> None:
    fp32 = _converted(toolchain_found, classifier())
    made = build_from(recipe_for(tmp_path / "r", *BOARDS, model=fp32), tmp_path / "dist")
    assert made.evidence.inputs["model"] == f"sha256:{hashlib.sha256(fp32).hexdigest()}"
    assert {"fp32", "litert-int8"} <= {item.name for item in made.evidence.candidates} | {
        item.name for item in made.evidence.pruned
    }
    assert made.chosen["tpu"].precision == "int8"
    quantized = made.archive.files(made.archive.variants[0])["model.tflite"]
    again = build_from(recipe_for(tmp_path / "q", "tpu", model=quantized), tmp_path / "again")
    assert again.archive.files(again.archive.variants[0])["model.tflite"] == quantized
    assert any("quantized already" in warning for warning in again.evidence.warnings)


def test_what_a_recipe_asks_of_onnx_models_only_is_refused_for_tflite(
    tmp_path: Path, toolchain_found: Toolchain
) -> None:
    more = TOY + '[prune]\nkind = "structured"\n'
    with pytest.raises(InvalidField) as refused:
        build_from(recipe_for(tmp_path / "r", "tpu", model=b"\x1c\0\0\0TFL3", more=more), tmp_path / "dist")
    assert "prune" in refused.value.what


def test_without_the_toolchain_the_build_says_how_to_get_it_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "empty"))
    models: tuple[onnx.ModelProto | bytes, ...] = (classifier(), b"\x1c\0\0\0TFL3" + bytes(32))
    for number, model in enumerate(models):
        with pytest.raises(ToolchainMissing) as refused:
            build_from(recipe_for(tmp_path / str(number), "tpu", model=model), tmp_path / "dist")
        assert refused.value.hint == "limosa toolchain install litert"
    assert not (tmp_path / "dist").exists()


def test_model_with_an_operator_that_litert_lacks_is_refused_where_the_target_has_nothing_else(
    tmp_path: Path, toolchain_found: Toolchain
) -> None:
    scaler = helper.make_node(
        "Scaler", ["x"], ["s"], name="s", domain="ai.onnx.ml", offset=[0.0] * 4, scale=[1.0] * 4
    )
    model = classifier()
    model.graph.node[0].input[0] = "s"
    model.graph.node.insert(0, scaler)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    with pytest.raises(ModelRefused) as refused:
        build_from(recipe_for(tmp_path / "r", "tpu", model=model), tmp_path / "dist")
    assert "ONNX_SCALER" in refused.value.why


def test_coral_names_litert_first() -> None:
    assert load_profiles()["coral"].runtimes[0].name == "litert"


def _converted(toolchain: Toolchain, model: onnx.ModelProto) -> bytes:
    from limosa_compiler.litert.conversion import convert

    data = convert(toolchain, model, where="test")
    LitertRunner(toolchain, data).close()
    return data


def _name(report: object) -> object:
    return report.get("name") if isinstance(report, dict) else None
