"""limosa diff: what a client, a fleet and a reader have to know before one version follows another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_compiler.artifact.archive_file import read_archive, write_archive
from limosa_compiler.artifact.interface_changes import interface_changes
from limosa_compiler.artifact.package import VariantFiles, package_release
from limosa_compiler.trust.signatures import sign_archive
from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_contracts.names import ReleaseName
from limosa_contracts.oci import Requirements
from limosa_contracts.serving import Serving, TensorSpec
from limosa_contracts.signing_keys import Algorithm, SigningKey
from tests.support.artifacts import NOTHING_MONITORED, serving_of, small_artifact

BASE = replace(
    serving_of(ReleaseName.parse("demo/toy@1.0.0"), variant="pi"),
    inputs=(TensorSpec(name="x", dtype="FP32", shape=(-1, 6), low=-1.0, high=1.0),),
    task="classification",
    classes=("rest", "walk"),
    probabilities="y",
)
X, Y = BASE.inputs[0], BASE.outputs[0]


def diff(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = run(make_host(), prog_name="limosa", args=["diff", *(str(word) for word in words)])
    return code, capsys.readouterr().out


def artifact(folder: Path, *servings: Serving, model: bytes = b"m", tools: str = "1.23.2") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    packaged = package_release(
        [
            VariantFiles(
                name=serving.variant,
                files={
                    "model.onnx": model,
                    "serving.json": serving.encode(),
                    "golden.safetensors": b"\x02\0\0\0\0\0\0\0{}",
                    "baseline.json": NOTHING_MONITORED.encode(),
                },
                requirements=Requirements(architectures=("aarch64",)),
                annotations={
                    "dev.limosa.candidate": serving.precision,
                    "dev.limosa.tools": json.dumps({"onnx": tools}),
                },
            )
            for serving in servings
        ]
    )
    path = folder / "toy.limosa"
    write_archive(path, packaged.blobs, packaged.index, name="demo/toy", version=servings[0].version)
    return path


def test_same_artifact_is_equal_also_once_it_is_signed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = small_artifact(tmp_path, "demo/toy@1.0.0")
    assert diff(capsys, path, path) == (0, "demo/toy@1.0.0 -> demo/toy@1.0.0\nequal\n")
    signed = sign_archive(read_archive(path), SigningKey.generate(Algorithm.P256))
    other = tmp_path / "signed.limosa"
    write_archive(other, signed.blobs, signed.index, name="demo/toy", version="1.0.0")
    assert diff(capsys, path, other)[1].endswith("equal but for signatures\n")


def test_new_weights_and_tools_are_told_with_the_bytes_to_move_and_break_nobody(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    old = artifact(tmp_path / "a", BASE)
    new = artifact(tmp_path / "b", replace(BASE, version="1.1.0"), model=b"other", tools="1.24.0")
    code, text = diff(capsys, old, new)
    assert code == 0
    assert "\\x1b" not in text
    assert "tool      onnx: 1.23.2 -> 1.24.0" in text
    assert "nothing that breaks a client" in text
    code, out = diff(capsys, old, new, "--json")
    said = json.loads(out)
    assert (said["equal"], said["breaking"]) == (False, False)
    assert set(said["variants"][0]["files"]) == {"model.onnx", "serving.json"}
    moved = {item["name"] for item in said["transfer"]["moved"]}
    assert moved == {"model.onnx", "serving.json", "config", "manifest", "index"}
    everything = read_archive(new).blobs
    assert said["transfer"]["moved_bytes"] + said["transfer"]["shared_bytes"] == sum(
        len(data) for data in everything.values()
    )


def test_target_that_is_gone_is_breaking_and_a_new_one_is_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    both = artifact(tmp_path / "a", BASE, replace(BASE, variant="jetson"))
    one = artifact(tmp_path / "b", BASE)
    code, text = diff(capsys, both, one)
    assert code == 3
    assert "BREAKING    the variant is gone  (jetson)" in text
    assert diff(capsys, one, both)[0] == 0


@pytest.mark.parametrize(
    "change, breaking, said",
    [
        ({"inputs": (replace(X, name="z"),)}, True, "input 'x' is gone"),
        ({"inputs": (X, replace(X, name="z"))}, True, "must be given"),
        ({"inputs": (replace(X, dtype="FP16"),)}, True, "FP32 becomes FP16"),
        ({"inputs": (replace(X, shape=(-1, 7)),)}, True, "[-1, 6] becomes [-1, 7]"),
        ({"inputs": (replace(X, shape=(1, 6)),)}, True, "[1, 6]"),
        ({"inputs": (replace(X, shape=(-1, -1)),)}, False, "[-1, -1]"),
        ({"inputs": (replace(X, high=0.5),)}, True, "[-1, 0.5]"),
        ({"inputs": (replace(X, low=None, high=None),)}, False, "[any, any]"),
        ({"outputs": (replace(Y, name="z"),), "probabilities": "z"}, True, "output 'y' is gone"),
        ({"outputs": (Y, replace(Y, name="z"))}, False, "output 'z' is new"),
        ({"outputs": (replace(Y, shape=(-1, 3)),)}, True, "[-1, 3]"),
        ({"classes": ("walk", "rest")}, True, "another order"),
        ({"classes": ("rest", "walk", "run")}, True, "class 'run' is new"),
        ({"classes": ("rest", "run")}, True, "class 'walk' is gone"),
        ({"task": "regression"}, True, "task classification becomes regression"),
        ({"probabilities": ""}, True, "probabilities"),
        ({"extra": {"states": [{"input": "h", "output": "hn"}]}}, True, "states"),
        ({"precision": "int8"}, False, ""),
    ],
)
def test_what_breaks_a_client(change: dict[str, Any], breaking: bool, said: str) -> None:
    changes = interface_changes(BASE, replace(BASE, **change))
    assert any(one.breaking for one in changes) is breaking
    assert said in " ".join(one.what for one in changes)


@given(
    st.lists(st.sampled_from([-1, 1, 4]), min_size=1, max_size=3),
    st.lists(st.sampled_from([-1, 1, 4]), min_size=1, max_size=3),
)
def test_an_input_that_takes_all_it_took_breaks_nobody(old: list[int], new: list[int]) -> None:
    was, now = (replace(BASE, inputs=(replace(X, shape=tuple(shape)),)) for shape in (old, new))
    breaking = any(change.breaking for change in interface_changes(was, now))
    takes_all = len(old) == len(new) and all(b in (-1, a) for a, b in zip(old, new, strict=True))
    assert breaking is not takes_all
