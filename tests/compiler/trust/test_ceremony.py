from __future__ import annotations

import shutil
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Targets

from limosa_compiler.trust import roles
from limosa_compiler.trust.ceremony import init_keys, make_keys
from limosa_compiler.trust.errors import KeysExist
from limosa_compiler.trust.offline_folder import add_team, open_team, refresh_team, summaries
from limosa_contracts.canonical import parse_object
from limosa_contracts.errors import InvalidField, SystemRefused, Usage
from limosa_contracts.release import DIRECTOR_TARGET
from limosa_contracts.signing_keys import PublicKey, SigningKey
from tests.support.local_tuf import find_target, write_repository

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make(tmp_path: Path, *, dev: bool = False, now: datetime = NOW, team: str = "demo") -> tuple[Path, Path]:
    offline, server = tmp_path / "offline", tmp_path / "data" / "trust"
    init_keys(offline=offline, server=server, team=team, now=now, dev=dev, hosts=["fleet.example.com"])
    return offline, server


def current_roles(server: Path) -> dict[str, bytes]:
    files = sorted((server / "tuf").glob("*.json"), key=lambda path: int(path.name.split(".")[0]))
    found = {path.name.split(".", 1)[1].removesuffix(".json"): path.read_bytes() for path in files}
    del found["root"]
    return found


def test_server_folder_holds_no_key_that_signs_models_or_roots(tmp_path: Path) -> None:
    offline, server = make(tmp_path)
    at_server = {path.read_bytes() for path in server.rglob("*.pem")}
    for name in ("root-1", "root-2", "root-3", "targets", "ca", "teams/demo/team"):
        assert (offline / f"{name}.pem").read_bytes() not in at_server
    assert {path.name for path in (server / "keys").iterdir()} == {
        "snapshot.pem", "timestamp.pem", "director.pem", "audit.pem", "device-ca.pem",
    }  # fmt: skip
    assert (server / "epoch").read_text() == "1"


def test_private_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    for folder in make(tmp_path):
        for path in [folder, *folder.rglob("*")]:
            mode = stat.S_IMODE(path.stat().st_mode)
            if path.is_dir():
                assert mode == 0o700, path
            elif path.suffix == ".pem":
                assert mode == 0o600, path


@pytest.mark.parametrize("dev, threshold, keys", [(False, 2, 3), (True, 1, 1)])
def test_root_needs_two_of_three_and_in_development_one_of_one(
    tmp_path: Path, dev: bool, threshold: int, keys: int
) -> None:
    offline, _ = make(tmp_path, dev=dev)
    metadata = Metadata[Root].from_file(str(offline / "metadata" / "root.json"))
    role = metadata.signed.roles["root"]
    assert (role.threshold, len(role.keyids), metadata.signed.consistent_snapshot) == (threshold, keys, True)
    metadata.verify_delegate("root", metadata)
    for keyid in list(metadata.signatures)[: keys - threshold + 1]:
        del metadata.signatures[keyid]
    with pytest.raises(UnsignedMetadataError):
        metadata.verify_delegate("root", metadata)


def test_roles_expire_as_the_design_says_and_versions_are_the_time(tmp_path: Path) -> None:
    offline, server = make(tmp_path)
    root = Metadata[Root].from_file(str(offline / "metadata" / "root.json")).signed
    assert root.expires == NOW + timedelta(days=365)
    for role, data in current_roles(server).items():
        signed = Metadata[Targets].from_bytes(data).signed
        assert signed.version == int(NOW.timestamp())
        assert signed.expires == NOW + timedelta(days=180 if role == "targets" else 90)


def test_stock_client_finds_the_director_and_no_release(tmp_path: Path) -> None:
    _, server = make(tmp_path, now=datetime.now(UTC))
    repository = write_repository(tmp_path / "repository", server, current_roles(server))
    director = find_target(repository, tmp_path / "client", DIRECTOR_TARGET)
    assert director is not None
    file = server / "tuf/targets/limosa" / f"{director.hashes['sha256']}.director.json"
    key = PublicKey.parse(str(parse_object(file.read_bytes())["pem"]).encode())
    assert key.keyid == SigningKey.parse((server / "keys/director.pem").read_bytes()).public.keyid
    assert find_target(repository, tmp_path / "client", "demo/motion/1.0.0/index.json") is None


def test_openssl_accepts_the_server_certificate_under_the_root_ca(tmp_path: Path) -> None:
    _, server = make(tmp_path, now=datetime.now(UTC))
    for name in ("localhost", "fleet.example.com"):
        checked = subprocess.run(
            ["openssl", "verify", "-x509_strict", "-CAfile", server / "ca.crt", "-untrusted",
             server / "device-ca.crt", "-purpose", "sslserver", "-verify_hostname", name,
             server / "server.crt"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stderr


def test_second_init_changes_no_byte(tmp_path: Path) -> None:
    offline, server = make(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(KeysExist) as caught:
        make(tmp_path)
    assert caught.value.where == str(offline)
    with pytest.raises(KeysExist) as caught:
        init_keys(offline=tmp_path / "new", server=server, team="demo", now=NOW)
    assert caught.value.where == str(server)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("server", ["keys", "keys/server", "."])
def test_one_place_for_both_folders_is_refused(tmp_path: Path, server: str) -> None:
    with pytest.raises(Usage):
        init_keys(offline=tmp_path / "keys", server=tmp_path / server, team="demo", now=NOW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "team", ["targets", "root", "snapshot", "timestamp", "limosa", "a-bins-3", "A", "../x", "", "x/y", "é"]
)
def test_team_that_would_be_taken_for_a_role_is_refused(team: str) -> None:
    with pytest.raises(InvalidField):
        make_keys(team=team, now=NOW, dev=True)


@pytest.mark.parametrize("host", ["", "a b", "https://x", "x:8443", "-x", "x" * 64, "<script>"])
def test_host_that_no_certificate_can_hold_is_refused(host: str) -> None:
    with pytest.raises(InvalidField):
        make_keys(team="demo", now=NOW, dev=True, hosts=[host])


def test_folder_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SystemRefused):
        init_keys(offline=tmp_path / "file" / "keys", server=tmp_path / "server", team="demo", now=NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_team_of_another_server_is_taken_in_with_its_key_in_a_file(tmp_path: Path) -> None:
    """docs/how-to/promote-a-release.md: two servers, one key."""
    now = datetime.now(UTC)
    staging, _ = make(tmp_path / "staging", now=now)
    offline, server = tmp_path / "production" / "keys", tmp_path / "production" / "trust"
    init_keys(offline=offline, server=server, team="other", now=now, dev=True)
    shutil.copytree(staging / "teams" / "demo", offline / "teams" / "demo")
    made = add_team(offline, server, "demo", now=now, environment={})
    (there,) = summaries(staging)
    assert (made.keyid, made.tuf_keyid) == (there.keyid, there.tuf_keyid)
    top = Metadata[Targets].from_bytes(current_roles(server)["targets"]).signed
    assert top.delegations is not None
    assert top.delegations.roles is not None
    assert top.delegations.roles["demo"].keyids == [there.tuf_keyid]


def test_second_team_is_delegated_its_own_paths_only(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    offline, server = make(tmp_path, now=now)
    made = add_team(offline, server, "audio", now=now, environment={})
    assert [team.team for team in summaries(offline)] == ["audio", "demo"]
    top = Metadata[Targets].from_bytes(current_roles(server)["targets"]).signed
    assert top.delegations is not None
    assert top.delegations.roles is not None
    assert top.delegations.roles["audio"].paths == ["audio/*/*/*"]
    assert made.keyid == open_team(offline, "audio", {}).key.public.keyid
    assert top.delegations.roles["audio"].keyids == [made.tuf_keyid]
    repository = write_repository(tmp_path / "repository", server, current_roles(server))
    assert find_target(repository, tmp_path / "client", DIRECTOR_TARGET) is not None
    with pytest.raises(KeysExist):
        add_team(offline, server, "audio", now=now, environment={})


def test_adding_a_team_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    offline, server = make(tmp_path)
    (server / "tuf").chmod(0o500)
    top = (offline / "metadata/targets.json").read_bytes()
    (server / "tuf").rename(server / "gone")
    with pytest.raises(SystemRefused):
        add_team(offline, server, "audio", now=NOW, environment={})
    assert (offline / "metadata/targets.json").read_bytes() == top
    key = (offline / "teams/audio/team.pem").read_bytes()
    (server / "gone").rename(server / "tuf")
    (server / "tuf").chmod(0o700)
    add_team(offline, server, "audio", now=NOW, environment={})
    assert (offline / "teams/audio/team.pem").read_bytes() == key


def test_refreshed_team_lives_another_ninety_days(tmp_path: Path) -> None:
    offline, _ = make(tmp_path)
    later = NOW + timedelta(days=80)
    refresh_team(open_team(offline, "demo", {}), later)
    folder = open_team(offline, "demo", {})
    for metadata in folder.signed.values():
        assert metadata.signed.expires == later + roles.LIFETIMES.team
        assert metadata.signed.version == int(later.timestamp())
