"""The compiler's commands as a person types them: answers, exit codes, hints."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from limosa_compiler.artifact.archive_file import read_archive, write_archive
from limosa_compiler.artifact.package import VariantFiles, package_release
from limosa_compiler.building import BuildResult
from limosa_compiler.trust.signatures import sign_archive
from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_contracts.serving import GOLDEN_FILE
from limosa_contracts.signing_keys import Algorithm, SigningKey
from tests.compiler.graphs import classifier, recipe_folder


def limosa(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any, str]:
    """(exit code, the JSON object on stdout, stderr)."""
    code = run(make_host(), prog_name="limosa", args=[*(str(word) for word in words), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out.strip().splitlines()[-1]), err


def said_by(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """stdout for people."""
    assert run(make_host(), prog_name="limosa", args=[str(word) for word in words]) == 0
    return capsys.readouterr().out


def test_inspect_names_every_candidate_and_why(capsys: pytest.CaptureFixture[str], toy: BuildResult) -> None:
    code, said, _ = limosa(capsys, "inspect", toy.path)
    assert code == 0
    assert said["evidence"]["state"] == "matches"
    names = [item["name"] for item in said["candidates"]]
    assert names[0] == "fp32"
    assert len(names) > 1
    for item in said["candidates"]:
        assert item["size_bytes"] > 0
        assert 0 <= item["tune"]["metric"] <= 1
        assert item["latency_ratio"] > 0
        assert item["targets"]["generic-x86-64"]["reason"]
    assert sum(item["targets"]["generic-x86-64"]["chosen"] for item in said["candidates"]) == 1
    assert said["signed"] is False
    (variant,) = said["variants"]
    assert {file["name"] for file in variant["files"]} >= {"model.onnx", "serving.json", "baseline.json"}
    text = said_by(capsys, "inspect", toy.path)
    assert names[1] in text
    assert "not signed" in text


def copied(toy: BuildResult, folder: Path) -> Path:
    path = folder / toy.path.name
    path.write_bytes(toy.path.read_bytes())
    return path


def test_inspect_says_when_evidence_is_missing_broken_or_about_another_artifact(
    capsys: pytest.CaptureFixture[str], toy: BuildResult, tmp_path: Path
) -> None:
    path = copied(toy, tmp_path)
    beside = tmp_path / toy.evidence_path.name
    assert limosa(capsys, "inspect", path)[1]["evidence"]["state"] == "missing"
    assert "no evidence" in said_by(capsys, "inspect", path)
    beside.write_text("{")
    assert limosa(capsys, "inspect", path)[1]["evidence"]["state"] == "unreadable"
    text = toy.evidence_path.read_text()
    beside.write_text(text.replace(toy.evidence.content, "0" * 64))
    code, said, _ = limosa(capsys, "inspect", path)
    assert (code, said["evidence"]["state"], said["candidates"]) == (0, "other_artifact", [])


def test_inspect_unpacks_one_variant_into_a_new_folder_only(
    capsys: pytest.CaptureFixture[str], toy: BuildResult, tmp_path: Path
) -> None:
    folder = tmp_path / "plain"
    assert limosa(capsys, "inspect", toy.path, "--unpack", folder, "--variant", "generic-x86-64")[0] == 0
    variant = toy.archive.variants[0]
    on_disk = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert on_disk == {layer.filename: layer.sha256 for layer in variant.manifest.layers}
    code, said, _ = limosa(capsys, "inspect", toy.path, "--unpack", folder)
    assert (code, said["error"]["code"]) == (2, "LM-122")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    code, _, _ = limosa(capsys, "inspect", toy.path, "--unpack", tmp_path / "link")
    assert code == 2
    assert not (tmp_path / "elsewhere").exists()
    code, said, _ = limosa(capsys, "inspect", toy.path, "--unpack", tmp_path / "n", "--variant", "rpi9")
    assert code == 2
    assert "generic-x86-64" in said["error"]["hint"]


def test_damaged_artifact_is_not_trusted_by_any_command(
    capsys: pytest.CaptureFixture[str], toy: BuildResult, tmp_path: Path
) -> None:
    data = bytearray(toy.path.read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "bad.limosa"
    path.write_bytes(data)
    for command in ("inspect", "verify"):
        code, said, _ = limosa(capsys, command, path)
        assert code == 5
        assert said["error"]["code"] in ("LM-201", "LM-202")
        assert str(path) in said["error"]["where"]


@pytest.fixture
def team(tmp_path: Path) -> tuple[SigningKey, Path]:
    """A team's key, and the file of its public half."""
    key = SigningKey.generate(Algorithm.P256)
    path = tmp_path / "team.pub"
    path.write_bytes(key.public.pem())
    return key, path


def signed(source: Path, key: SigningKey, folder: Path) -> Path:
    archive = read_archive(source)
    blobs = sign_archive(archive, key)
    path = folder / "toy-1.0.0.signed.limosa"
    write_archive(path, blobs.blobs, blobs.index, name="demo/toy", version="1.0.0")
    return path


def test_unsigned_artifact_does_not_verify_with_or_without_a_key(
    capsys: pytest.CaptureFixture[str], toy: BuildResult, team: tuple[SigningKey, Path]
) -> None:
    for more in ([], ["--key", team[1]]):
        code, said, _ = limosa(capsys, "verify", toy.path, *more)
        assert (code, said["error"]["code"]) == (5, "LM-153")


def test_signed_artifact_verifies_with_its_teams_key_and_no_other(
    capsys: pytest.CaptureFixture[str], toy: BuildResult, tmp_path: Path, team: tuple[SigningKey, Path]
) -> None:
    path = signed(toy.path, team[0], tmp_path)
    code, said, _ = limosa(capsys, "verify", path, "--key", team[1])
    assert code == 0
    assert [result["holds"] for result in said["golden"]] == [True]
    assert said["signatures"][0]["keyid"] == team[0].public.keyid
    assert limosa(capsys, "verify", path)[0] == 2
    other = tmp_path / "other.pub"
    other.write_bytes(SigningKey.generate(Algorithm.P256).public.pem())
    assert limosa(capsys, "verify", path, "--key", other)[0] == 5


def test_evidence_is_still_about_the_artifact_once_it_is_signed(
    capsys: pytest.CaptureFixture[str], toy: BuildResult, tmp_path: Path, team: tuple[SigningKey, Path]
) -> None:
    path = signed(toy.path, team[0], tmp_path)
    (tmp_path / toy.evidence_path.name).write_bytes(toy.evidence_path.read_bytes())
    _, said, _ = limosa(capsys, "inspect", path)
    assert (said["signed"], said["evidence"]["state"]) == (True, "matches")


def test_wrong_checkpoint_with_a_good_signature_fails_its_golden_vectors(
    capsys: pytest.CaptureFixture[str], toy: BuildResult, tmp_path: Path, team: tuple[SigningKey, Path]
) -> None:
    variant = toy.archive.variants[0]
    files = toy.archive.files(variant)
    scrambled = bytearray(files[GOLDEN_FILE])
    scrambled[-200:] = bytes(200)  # the last expected scores
    swapped = VariantFiles(
        name=variant.name,
        files={**files, GOLDEN_FILE: bytes(scrambled)},
        requirements=variant.requirements,
    )
    packaged = package_release([swapped])
    source = tmp_path / "wrong.limosa"
    write_archive(source, packaged.blobs, packaged.index, name="demo/toy", version="1.0.0")
    code, said, _ = limosa(capsys, "verify", signed(source, team[0], tmp_path), "--key", team[1])
    assert (code, said["error"]["code"]) == (3, "LM-131")


def test_gate_not_met_exits_3_with_the_attempts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recipe = recipe_folder(tmp_path / "r", classifier())
    code, said, _ = limosa(capsys, "build", recipe, "--min-metric", "1.01", "--output", tmp_path / "dist")
    assert (code, said["error"]["code"]) == (3, "LM-133")
    assert [item["candidate"] for item in said["error"]["evidence"]["closest"]]
    assert said["error"]["hint"]


@pytest.mark.parametrize(
    "words, code",
    [
        (["--model", "none.onnx"], "LM-103"),
        (["--target", "rpi9"], "LM-118"),
        (["--metric", "f2"], "LM-120"),
        (["--label", "truth"], "LM-117"),
        (["--version", "one"], "LM-410"),
    ],
)
def test_bad_flags_are_coded_errors(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], code: str
) -> None:
    recipe = recipe_folder(tmp_path / "r", classifier())
    exit_code, said, _ = limosa(capsys, "build", recipe, "--output", tmp_path / "dist", *words)
    assert (said["error"]["code"], exit_code) == (code, 1 if code == "LM-103" else 2)


def test_targets_are_listed_and_shown_with_their_sources(capsys: pytest.CaptureFixture[str]) -> None:
    _, said, _ = limosa(capsys, "target", "list")
    names = [item["name"] for item in said["targets"]]
    assert {"rpi3", "rpi4", "rpi5", "zero2w", "jetson-orin-nano", "coral", "imx8mp", "n100"} < set(names)
    for name in names:
        shown = limosa(capsys, "target", "show", name)[1]
        assert shown["source"]["cores"]
    assert "Raspberry Pi 5" in said_by(capsys, "target", "list")
    assert "BCM2712" in said_by(capsys, "target", "show", "rpi5")
    code, said, _ = limosa(capsys, "target", "show", "rpi")
    assert (code, said["error"]["code"]) == (2, "LM-118")


@pytest.mark.parametrize("command", ["build", "inspect", "verify", "target"])
def test_help_begins_with_examples(capsys: pytest.CaptureFixture[str], command: str) -> None:
    text = said_by(capsys, command, "--help")
    assert text.index("Examples") < text.index("Options")
