"""`limosa delta OLD NEW` and `limosa delta apply OLD DELTA`, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limosa_compiler.artifact.archive_file import read_archive
from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from tests.contracts.delta.models import quantized_model
from tests.support.artifacts import small_artifact

OLD = quantized_model(rows=300)
NEW = quantized_model(rows=300, moved=0.0003)


def limosa(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any]:
    """(exit code, the JSON object on stdout, or the error's on stderr)."""
    code = run(make_host(), prog_name="limosa", args=[*(str(word) for word in words), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads((out or err).strip().splitlines()[-1])


@pytest.fixture
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.chdir(tmp_path)
    old = small_artifact(tmp_path, "demo/motion@1.0.0", model=OLD)
    new = small_artifact(tmp_path, "demo/motion@1.1.0", model=NEW)
    return old, new


def test_artifact_comes_back_to_the_byte(
    capsys: pytest.CaptureFixture[str], artifacts: tuple[Path, Path], tmp_path: Path
) -> None:
    old, new = artifacts
    code, said = limosa(capsys, "delta", old, new)
    assert code == 0
    assert said["out"] == "motion-1.0.0-to-1.1.0.limosadelta"
    assert said["size_bytes"] < 0.6 * said["new_bytes"]
    ways = {way["name"]: way for way in said["blobs"] if way["name"]}
    assert ways["cpu-int8/model.onnx"]["how"] == "delta"
    assert {way["how"] for name, way in ways.items() if name.endswith("golden.safetensors")} == {"kept"}
    made = tmp_path / said["out"]
    assert made.stat().st_size == said["size_bytes"]

    code, said = limosa(capsys, "delta", "apply", old, made, "--out", "again.limosa")
    assert (code, said["digest"]) == (0, read_archive(new).index_descriptor.digest)
    assert (tmp_path / "again.limosa").read_bytes() == new.read_bytes()

    assert run(make_host(), prog_name="limosa", args=["delta", str(old), str(new)]) == 0
    text = capsys.readouterr().out
    assert "cpu-int8/model.onnx" in text
    assert "instead of" in text


def test_plain_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "old.onnx").write_bytes(OLD)
    (tmp_path / "new.onnx").write_bytes(NEW)
    made = tmp_path / "small.limosadelta"
    code, said = limosa(capsys, "delta", tmp_path / "old.onnx", tmp_path / "new.onnx", "-o", made)
    assert (code, said["blobs"][0]["codec"]) == (0, "tensor")
    out = tmp_path / "got.onnx"
    code, _ = limosa(capsys, "delta", "apply", tmp_path / "old.onnx", made, "-o", out)
    assert (code, out.read_bytes()) == (0, NEW)


def test_delta_for_another_base_is_a_mistake(
    capsys: pytest.CaptureFixture[str], artifacts: tuple[Path, Path], tmp_path: Path
) -> None:
    old, new = artifacts
    limosa(capsys, "delta", old, new, "-o", "d.limosadelta")
    code, said = limosa(capsys, "delta", "apply", new, "d.limosadelta", "-o", "out.limosa")
    assert (code, said["error"]["code"]) == (2, "LM-171")
    (tmp_path / "old.onnx").write_bytes(OLD)
    (tmp_path / "new.onnx").write_bytes(NEW)
    limosa(capsys, "delta", "old.onnx", "new.onnx", "-o", "f.limosadelta")
    code, said = limosa(capsys, "delta", "apply", "new.onnx", "f.limosadelta", "-o", "out.onnx")
    assert (code, said["error"]["code"]) == (2, "LM-171")
    assert not (tmp_path / "out.limosa").exists()
    assert not (tmp_path / "out.onnx").exists()


def test_delta_that_is_damaged_writes_nothing(
    capsys: pytest.CaptureFixture[str], artifacts: tuple[Path, Path], tmp_path: Path
) -> None:
    old, new = artifacts
    _, said = limosa(capsys, "delta", old, new)
    made = tmp_path / said["out"]
    data = made.read_bytes()
    for i, mutant in enumerate(
        [data[:5], data[:200], data[:-1], data + b"\0", data[:-40] + b"\0" * 40, b"LMSDELTS", b""]
    ):
        bad = tmp_path / f"bad-{i}.limosadelta"
        bad.write_bytes(mutant)
        code, error = limosa(capsys, "delta", "apply", old, bad, "-o", "out.limosa")
        assert (code, error["error"]["code"]) == (5, "LM-170"), i
    assert not (tmp_path / "out.limosa").exists()


def test_what_saves_nothing_or_cannot_be_compared_says_so(
    capsys: pytest.CaptureFixture[str], artifacts: tuple[Path, Path], tmp_path: Path
) -> None:
    old, _ = artifacts
    a, b = tmp_path / "a.bin", tmp_path / "b.bin"
    a.write_bytes(b"nothing")
    b.write_bytes(b"alike at all")
    code, said = limosa(capsys, "delta", a, b)
    assert (code, said["error"]["code"]) == (3, "LM-173")
    code, said = limosa(capsys, "delta", old, b)
    assert (code, said["error"]["code"]) == (2, "LM-172")
    code, said = limosa(capsys, "delta", old)
    assert (code, said["error"]["code"]) == (2, "LM-415")
