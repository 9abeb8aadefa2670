"""`limosa release …` and `limosa alert …` against a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limosa_compiler.trust.evidence_referrer import make_referrer
from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_contracts.evidence_statement import referrers_tag
from limosa_contracts.names import ReleaseName
from limosa_contracts.oci import INDEX, MANIFEST, Descriptor
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_server.access.roles import Role
from tests.fleet_server.publishing import Blobs, Team, push_blob, push_manifest
from tests.fleet_server.registry.test_collecting import published
from tests.fleet_server.world import MODEL, Fleet

RELEASE = f"{MODEL}@1.0.0"


@pytest.fixture
def limosa(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `limosa …` against the server, as an admin."""
    monkeypatch.setenv("LIMOSA_SERVER", str(fleet.http.base_url))
    monkeypatch.setenv("LIMOSA_TOKEN", fleet.token(Role.ADMIN))
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *args: run(make_host(), prog_name="limosa", args=[str(arg) for arg in args])


def push_evidence(fleet: Fleet, blobs: Blobs, key: SigningKey) -> None:
    headers = fleet.headers(Role.PUBLISHER)
    subject = Descriptor.of(blobs.index, media_type=INDEX)
    document = {
        "lineage": {"commit": "c0ffee"},
        "candidates": [{"name": "int8", "precision": "int8", "size_bytes": 9, "holdout": {"value": 0.913}}],
        "targets": [{"target": "rpi4", "chosen": "int8"}],
    }
    files = {"evidence.json": json.dumps(document).encode(), "report.html": b"<h1>how it was built</h1>"}
    made = make_referrer(ReleaseName.parse(RELEASE), subject, files, key)
    for data in made.blobs.values():
        push_blob(fleet.http, headers, data)
    assert push_manifest(fleet.http, headers, made.manifest, MANIFEST).status_code == 201
    tagged = push_manifest(fleet.http, headers, made.index, INDEX, referrers_tag(subject.digest))
    assert tagged.status_code == 201


def test_a_release_from_its_gate_to_its_end(
    fleet: Fleet, limosa: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    published(fleet, "1.0.0", b"one")
    published(fleet, "1.1.0", b"two")
    assert limosa("release", "set-gate", "demo", "--rule", "evidence", "--rule", "devices=2,for=1h") == 0
    assert "demo   evidence; devices (devices=2,for=1h)" in capsys.readouterr().out
    assert limosa("release", "promote", RELEASE, "--reason", "now") == 3
    said = capsys.readouterr().err
    assert "error[LM-642]" in said
    assert "no evidence was published with it; 0 of 2 devices have run it for 1h" in said
    assert limosa("release", "promote", RELEASE, "--reason", "now", "--override") == 0
    assert "✘ evidence: no evidence was published" in capsys.readouterr().out
    assert limosa("release", "compare", RELEASE, f"{MODEL}@1.1.0") == 0
    assert "stage: production → staging" in capsys.readouterr().out
    assert limosa("release", "archive", RELEASE, "--reason", "old") == 0
    assert limosa("release", "restore", RELEASE, "--reason", "needed") == 0
    assert limosa("release", "retract", RELEASE, "--reason", "wrong labels") == 0
    assert "0 devices run it" in capsys.readouterr().out
    assert limosa("release", "retract", RELEASE, "--reason", "again") == 2
    assert limosa("release", "lineage", RELEASE) == 0
    said = capsys.readouterr().out
    assert "retracted by token" in said
    assert "wrong labels" in said
    assert limosa("release", "running", "--json") == 0
    assert limosa("release", "collect", "--dry-run") == 0
    assert f"kept {RELEASE}: it left" in capsys.readouterr().out
    assert limosa("release", "set-gate", "demo", "--clear") == 0
    assert limosa("release", "set-gate", "demo") == 2


def test_evidence_is_fetched_and_its_signature_checked_here_too(
    fleet: Fleet, limosa: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blobs, team = published(fleet, "1.0.0", b"one"), Team(fleet.offline)
    assert limosa("release", "evidence", RELEASE) == 2
    assert "error[LM-413]" in capsys.readouterr().err
    push_evidence(fleet, blobs, team.key)
    key = tmp_path / "team.pub"
    key.write_bytes(team.key.public.pem())
    folder = tmp_path / "evidence"
    assert limosa("release", "evidence", RELEASE, "--output", folder, "--key", key) == 0
    assert f"signed by key {team.key.public.keyid[:12]}" in capsys.readouterr().out
    assert (folder / "report.html").read_bytes() == b"<h1>how it was built</h1>"
    assert limosa("release", "lineage", RELEASE) == 0
    said = capsys.readouterr().out
    assert "evidence    signed by its team" in said
    assert "lineage.commit: c0ffee" in said
    stranger = tmp_path / "stranger.pub"
    stranger.write_bytes(SigningKey.generate(Algorithm.P256).public.pem())
    assert limosa("release", "evidence", RELEASE, "--key", stranger) == 5
    assert "error[LM-203]" in capsys.readouterr().err


def test_evidence_that_somebody_else_signed_is_shown_as_what_it_is(
    fleet: Fleet, limosa: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anybody of the team may push; only the key counts."""
    blobs = published(fleet, "1.0.0", b"one")
    push_evidence(fleet, blobs, SigningKey.generate(Algorithm.P256))
    assert limosa("release", "evidence", RELEASE) == 5
    assert "not signed by its team" in capsys.readouterr().err
    assert limosa("release", "set-gate", "*", "--rule", "evidence") == 0
    assert limosa("release", "promote", RELEASE, "--reason", "now") == 3
    assert "its evidence is not signed" in capsys.readouterr().err


def test_alert_rules_go_out_as_toml_and_come_back_the_same(
    fleet: Fleet, limosa: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert limosa("alert", "rules") == 0
    file = tmp_path / "alerts.toml"
    file.write_text(capsys.readouterr().out)
    assert limosa("alert", "set-rules", file) == 0
    assert "revision 1 is in force" in capsys.readouterr().out
    assert limosa("alert", "rules") == 0
    assert capsys.readouterr().out == file.read_text()
    file.write_text(file.read_text().replace("device_silent", "device_quiet"))
    assert limosa("alert", "set-rules", file) == 2
    assert "alerts.rule[3].source" in capsys.readouterr().err
    file.write_text("[[rule")
    assert limosa("alert", "set-rules", file) == 2


def test_silences_and_webhooks_on_the_command_line(
    fleet: Fleet, limosa: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    object.__setattr__(fleet.state.settings, "webhook_hosts", ("127.0.0.1",))
    assert limosa("alert", "list") == 0
    assert capsys.readouterr().out == "no alerts\n"
    assert limosa("alert", "silence", "site=lab", "--for", "4h", "--reason", "moving") == 0
    assert limosa("alert", "silences") == 0
    assert "moving" in capsys.readouterr().out
    assert limosa("alert", "unsilence", 1) == 0
    assert limosa("alert", "silence", "site in", "--for", "4h", "--reason", "x") == 2
    capsys.readouterr()
    assert limosa("alert", "add-webhook", "chat", "http://127.0.0.1:9/x", "--severity", "warning") == 0
    assert capsys.readouterr().out.startswith("whsec_")
    assert limosa("alert", "add-webhook", "chat", "http://127.0.0.1:9/x") == 2
    assert limosa("alert", "test-webhook", "chat") == 0
    assert limosa("alert", "webhooks") == 0
    assert "http://127.0.0.1:9 " in capsys.readouterr().out
    assert limosa("alert", "remove-webhook", "chat") == 0
    assert limosa("alert", "show", 1) == 2
