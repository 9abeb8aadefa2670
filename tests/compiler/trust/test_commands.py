"""`limosa keys` and `limosa publish` as they are typed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from limosa_compiler.artifact.archive_file import read_archive
from limosa_compiler.trust.key_files import load_key
from limosa_compiler.trust.signatures import verify_archive_signatures
from limosa_contracts.signing_keys import PublicKey
from tests.compiler.trust.conftest import Fleet
from tests.support.artifacts import small_artifact
from tests.support.ports import free_port
from tests.support.processes import script
from tests.support.publish_server import TOKEN


def limosa(*words: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LIMOSA_T")}
    return subprocess.run(
        [script("limosa"), *words], capture_output=True, text=True, env={**plain, **(env or {})}, check=False
    )


def last(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    value = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(value, dict)
    return value


def error_code(done: subprocess.CompletedProcess[str]) -> object:
    error = last(done)["error"]
    assert isinstance(error, dict)
    assert f"limosa explain {error['code']}" in done.stderr
    return error["code"]


def test_keys_init_then_sign_then_show(tmp_path: Path) -> None:
    made = limosa("keys", "init", "--dev", "--offline", tmp_path / "off", "--server", tmp_path / "srv/trust",
                  "--team", "demo", "--host", "fleet.example.com", "--json")  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert last(made)["dev"] is True
    again = limosa(
        "keys", "init", "--offline", tmp_path / "off", "--server", tmp_path / "x", "--team", "a", "--json"
    )
    assert (again.returncode, error_code(again)) == (2, "LM-156")

    artifact = small_artifact(tmp_path, "demo/motion@1.0.0")
    signed = limosa("publish", artifact, "--offline", tmp_path / "off", "--json")
    assert signed.returncode == 0, signed.stderr
    path = tmp_path / "motion-1.0.0.signed.limosa"
    assert last(signed)["artifact"] == str(path)
    public = PublicKey.parse((tmp_path / "off/teams/demo/team.pub").read_bytes())
    assert len(verify_archive_signatures(read_archive(path), public)) == 2

    first = path.read_bytes()
    twice = limosa("publish", artifact, "--offline", tmp_path / "off")
    assert (twice.returncode, path.read_bytes()) == (0, first)
    signed_again = limosa("publish", path, "--offline", tmp_path / "off")
    assert (signed_again.returncode, path.read_bytes()) == (0, first)


def test_publish_with_the_key_in_the_environment(fleet: Fleet, tmp_path: Path) -> None:
    artifact = small_artifact(tmp_path, "demo/motion@1.0.0")
    team = fleet.offline / "teams/demo"
    password = "correct horse battery staple"
    key = load_key(team / "team.pem", {}).raw.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password.encode()),
    )
    words = ("publish", artifact, "--metadata", team / "metadata", "--server", fleet.url, "--json")
    secrets = {"LIMOSA_TOKEN": TOKEN, "LIMOSA_TEAM_KEY": key.decode(), "LIMOSA_KEY_PASSWORD": password}
    wrong = limosa(*words, env={**secrets, "LIMOSA_KEY_PASSWORD": "wrong horse", "LIMOSA_DEBUG": "1"})
    assert (wrong.returncode, error_code(wrong)) == (2, "LM-155")
    done = limosa(*words, env=secrets)
    assert done.returncode == 0, done.stderr
    assert last(done)["already_published"] is False
    for secret in (TOKEN, TOKEN.partition(".")[2], password, "wrong horse", key.decode().splitlines()[1]):
        for text in (wrong.stdout, wrong.stderr, done.stdout, done.stderr):
            assert secret not in text


def test_may_return_to_is_given_by_hand(fleet: Fleet, tmp_path: Path) -> None:
    artifact = small_artifact(tmp_path, "demo/motion@2.0.0")
    words = (
        "publish",
        artifact,
        "--offline",
        fleet.offline,
        "--server",
        fleet.url,
        "--token",
        TOKEN,
        "--json",
    )
    bad = limosa(*words, "--token", TOKEN, "--may-return-to", "1.0.0,newest")
    assert (bad.returncode, error_code(bad)) == (2, "LM-410")
    done = limosa(*words, "--may-return-to", "1.0.0, 0.9.0", env={"LIMOSA_TOKEN": TOKEN})
    assert last(done)["may_return_to"] == ["0.9.0", "1.0.0"]


def test_sync_says_what_it_sent(fleet: Fleet, tmp_path: Path) -> None:
    words = ("--offline", fleet.offline, "--server", fleet.url, "--token", TOKEN, "--json")
    backup = dict(fleet.store.roles)
    assert limosa("publish", small_artifact(tmp_path, "demo/motion@1.0.0"), *words).returncode == 0
    fleet.store.roles = backup
    sent = last(limosa("publish", "--sync", "--team", "demo", *words))["sent"]
    assert isinstance(sent, list)
    assert len(sent) == 1
    assert last(limosa("publish", "--sync", "--team", "demo", *words))["sent"] == []


@pytest.mark.parametrize("case, code, exit_code", [
    ("no server", "LM-301", 6), ("no token", "LM-159", 4), ("unknown token", "LM-402", 4),
    ("other team", "LM-415", 2), ("not an artifact", "LM-201", 5), ("both", "LM-415", 2),
    ("no key", "LM-415", 2), ("key that is none", "LM-155", 2), ("plain http", "LM-410", 2),
])  # fmt: skip
def test_bad_input_has_its_code_and_changes_nothing(
    fleet: Fleet, tmp_path: Path, case: str, code: str, exit_code: int
) -> None:
    artifact = small_artifact(tmp_path, "audio/kws@1.0.0" if case == "other team" else "demo/motion@1.0.0")
    offline = ["--offline", str(fleet.offline)]
    server, token = fleet.url, TOKEN
    if case == "no server":
        server = f"http://127.0.0.1:{free_port()}"
    elif case == "no token":
        token = ""
    elif case == "unknown token":
        token = "lmp_abcdefghijkl." + "t" * 43
    elif case == "not an artifact":
        artifact.write_bytes(b"rubbish" * 1000)
    elif case == "both":
        offline.append("--sync")
    elif case == "no key":
        offline = []
    elif case == "key that is none":
        rubbish = tmp_path / "rubbish.pem"
        rubbish.write_text("rubbish")
        offline += ["--key", str(rubbish)]
    elif case == "plain http":
        server = "http://fleet.example.com"
    before = {path: path.read_bytes() for path in fleet.offline.rglob("*") if path.is_file()}
    done = limosa("publish", artifact, *offline, "--server", server, "--token", token, "--json")
    assert (error_code(done), done.returncode) == (code, exit_code), done.stderr
    assert "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in fleet.offline.rglob("*") if path.is_file()} == before
    assert fleet.store.blobs == {}
    assert not list(tmp_path.glob("*.signed.limosa"))
