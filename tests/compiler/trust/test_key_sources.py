"""Signing keys from a file, the environment and a real PKCS#11 device (SoftHSM)."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from limosa_compiler.artifact.archive_file import read_archive
from limosa_compiler.trust.errors import KeyHolderRefused, KeyUnusable
from limosa_compiler.trust.key_sources import PIN_VARIABLE, open_key
from limosa_compiler.trust.signatures import verify_archive_signatures
from limosa_contracts.signing_keys import Algorithm, SigningKey
from tests.support.artifacts import small_artifact
from tests.support.processes import script
from tests.support.programs import require_program, unavailable

PIN = "4711"
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)


@dataclass(frozen=True)
class Device:
    """A token that holds one key; `environment` is what a program needs to reach it."""

    uri: str
    public_file: Path
    key: SigningKey
    environment: dict[str, str]


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    util = require_program("softhsm2-util")
    module = next((path for path in MODULES if Path(path).exists()), None)
    if module is None:
        unavailable("SoftHSM's PKCS#11 module is not where it is looked for")
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    environment = {"SOFTHSM2_CONF": str(configuration), "PYKCS11LIB": module, PIN_VARIABLE: PIN}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    key = SigningKey.generate(Algorithm.P256)
    (tmp_path / "key.pem").write_bytes(key.pem())
    (tmp_path / "key.pem").chmod(0o600)
    (tmp_path / "key.pub").write_bytes(key.public.pem())
    for words in (
        ["--init-token", "--free", "--label", "team", "--pin", PIN, "--so-pin", PIN],
        [
            "--import",
            str(tmp_path / "key.pem"),
            "--token",
            "team",
            "--label",
            "k",
            "--id",
            "02",
            "--pin",
            PIN,
        ],
    ):
        subprocess.run([util, *words], check=True, capture_output=True)
    return Device("hsm:2?label=team", tmp_path / "key.pub", key, environment)


def limosa(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([script("limosa"), *words], capture_output=True, text=True, check=False)


def test_a_team_whose_key_never_leaves_its_device_publishes_twice_the_same(
    device: Device, tmp_path: Path
) -> None:
    """trust 1: ECDSA on a device is random, and yet a release has one index."""
    made = limosa("keys", "init", "--dev", "--offline", tmp_path / "off", "--server", tmp_path / "srv",
                  "--team", "demo", "--team-key", device.uri,
                  "--team-public-key", device.public_file)  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert not (tmp_path / "off/teams/demo/team.pem").exists()

    artifact = small_artifact(tmp_path, "demo/motion@1.0.0")
    first = limosa("publish", artifact, "--offline", tmp_path / "off")
    assert first.returncode == 0, first.stderr
    signed = tmp_path / "motion-1.0.0.signed.limosa"
    before = signed.read_bytes()
    again = limosa("publish", artifact, "--offline", tmp_path / "off")
    assert again.returncode == 0, again.stderr
    assert signed.read_bytes() == before
    assert len(verify_archive_signatures(read_archive(signed), device.key.public)) == 2


def test_a_device_that_holds_another_key_is_found_out(device: Device, tmp_path: Path) -> None:
    other = tmp_path / "other.pub"
    other.write_bytes(SigningKey.generate(Algorithm.P256).public.pem())
    key = open_key(device.uri, other, device.environment)
    with pytest.raises(KeyHolderRefused) as caught:
        key.sign(b"message")
    assert "another one" in caught.value.why


def test_a_wrong_pin_and_a_missing_one(device: Device) -> None:
    wrong = open_key(device.uri, device.public_file, {PIN_VARIABLE: "0000"})
    with pytest.raises(KeyHolderRefused):
        wrong.sign(b"message")
    with pytest.raises(KeyUnusable) as caught:
        open_key(device.uri, device.public_file, {}).sign(b"message")
    assert caught.value.where == PIN_VARIABLE


def test_a_uri_without_its_public_half_says_what_is_missing() -> None:
    with pytest.raises(KeyUnusable) as caught:
        open_key("hsm:2", None, {})
    assert "--public-key" in caught.value.hint


def test_what_a_scheme_needs_is_named_where_it_is_not_installed(tmp_path: Path) -> None:
    public = tmp_path / "team.pub"
    public.write_bytes(SigningKey.generate(Algorithm.P256).public.pem())
    for uri in ("awskms:alias/team", "hv:team/1", "gcpkms:projects/p/keys/k"):
        with pytest.raises(KeyUnusable) as caught:
            open_key(uri, public, dict(os.environ))
        assert uri == caught.value.where


def test_the_environment_by_name_and_by_default() -> None:
    key = SigningKey.generate(Algorithm.P256)
    pem = key.pem().decode()
    assert open_key("env:CI_KEY", None, {"CI_KEY": pem}).public == key.public
    assert open_key(None, None, {"LIMOSA_TEAM_KEY": pem}).public.keyid == key.public.keyid
    with pytest.raises(KeyUnusable):
        open_key("env:CI_KEY", None, {})


def test_a_public_key_beside_a_file_must_be_its_own(tmp_path: Path) -> None:
    private, public = tmp_path / "k.pem", tmp_path / "k.pub"
    private.write_bytes(SigningKey.generate(Algorithm.P256).pem())
    public.write_bytes(SigningKey.generate(Algorithm.P256).public.pem())
    with pytest.raises(KeyUnusable) as caught:
        open_key(str(private), public, {})
    assert "do not belong together" in caught.value.what
    public.write_bytes(SigningKey.generate(Algorithm.ED25519).public.pem())
    with pytest.raises(KeyUnusable):
        open_key(str(private), public, {})
