"""A server is lost, and comes back from its backup; a backup that rotted is not put back."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_contracts.errors import LimosaError
from limosa_server.deploy.backup import make_backup, object_path, read_manifest
from limosa_server.deploy.backup_manifest import DATABASE, MANIFEST, BackupManifest
from limosa_server.deploy.check import check
from limosa_server.deploy.restore import restore
from limosa_server.errors import AlreadyRunning, BackupFailed
from limosa_server.settings import ServerSettings
from limosa_server.store import Store
from limosa_server.tables.devices import Device
from limosa_server.tables.reports import EventRow
from tests.fleet_server.databases import Database
from tests.fleet_server.publishing import make_blobs, push
from tests.fleet_server.world import Fleet, as_batch, running_fleet
from tests.support.processes import script


def lived_in(fleet: Fleet, content: bytes = b"one") -> str:
    """A release in the registry, and a device that reported; the device."""
    push(fleet.http, fleet.headers(), make_blobs(content))
    device = fleet.enroll()
    batch = as_batch(device.reported(), device.event("k1"))
    assert (
        fleet.http.post("/api/v1/device/reports", json=batch, headers=fleet.access(device)).status_code == 200
    )
    return device.id


def settings_of(folder: Path, database_url: str = "") -> ServerSettings:
    return ServerSettings(data=folder, database_url=database_url, dev=True)


def bad(settings: ServerSettings, *, blobs: bool = False) -> list[str]:
    found = check(settings, settings.database, read_blobs=blobs)
    return [one.what for one in found if one.bad and "free on the disk" not in one.what]


@pytest.mark.both_databases
def test_server_that_burnt_down_is_as_it_was_at_the_backup(tmp_path: Path, database: Database) -> None:
    with running_fleet(tmp_path / "old", database_url=database.url()) as fleet:
        device = lived_in(fleet)
        old = fleet.state.settings
        made = make_backup(old, old.database, tmp_path / "backup", keys=True, now=fleet.clock.now)
        assert (made.copied, made.missing) == (4, ())
        lived_in(fleet, b"two")  # after the backup: lost, and nothing else
    assert bad(old, blobs=True) == []

    new = settings_of(tmp_path / "new", str(database.place(empty=True)) if old.database_url else "")
    restore(new, new.database, tmp_path / "backup")
    assert bad(new, blobs=True) == []
    store = Store.open(new.database)
    with closing(store), store.read() as tx:
        assert tx.exec(select(Device.id)).all() == [device]
        assert tx.exec(select(EventRow.device)).all() == [device]
    again = settings_of(tmp_path / "again" if new.database_url else new.data, new.database_url)
    with pytest.raises(BackupFailed, match="is not empty"):
        restore(again, again.database, tmp_path / "backup")
    for key in (new.trust / "keys").iterdir():
        assert key.stat().st_mode & 0o077 == 0, key


def test_second_backup_copies_what_is_new_and_forgets_what_is_gone(tmp_path: Path) -> None:
    with running_fleet(tmp_path / "old") as fleet:
        lived_in(fleet)
        settings, folder = fleet.state.settings, tmp_path / "backup"
        first = make_backup(settings, settings.database, folder, keys=False, now=1.0)
        again = make_backup(settings, settings.database, folder, keys=False, now=2.0)
        assert (first.copied, again.copied) == (4, 0)
        lived_in(fleet, b"two")
        third = make_backup(settings, settings.database, folder, keys=False, now=3.0)
    assert third.copied == 3  # the configuration is the same bytes
    manifest = read_manifest(folder)
    there = {path.name for path in (folder / "objects").rglob("*") if path.is_file()}
    assert there == manifest.objects
    assert not any(path.startswith("trust") for path in manifest.files)
    assert not any("key" in path for path in manifest.files), "keys are copied only where somebody says so"


def test_rotten_backup_is_named_and_never_put_back(tmp_path: Path) -> None:
    with running_fleet(tmp_path / "old") as fleet:
        lived_in(fleet)
        settings, folder = fleet.state.settings, tmp_path / "backup"
        made = make_backup(settings, settings.database, folder, keys=True, now=1.0)
    victim = object_path(folder, min(made.manifest.blobs))
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    new = settings_of(tmp_path / "new")
    with pytest.raises(BackupFailed) as refused:
        restore(new, new.data / "limosa.db", folder)
    assert (refused.value.code, "digest" in refused.value.why) == ("LM-675", True)
    assert {path.name for path in new.data.iterdir()} == {"lock"}, "nothing was put there"
    victim.unlink()
    victim.symlink_to("/etc/passwd")
    with pytest.raises(BackupFailed):
        restore(new, new.data / "limosa.db", folder)


def test_backup_goes_nowhere_but_into_an_empty_place_with_keys(tmp_path: Path) -> None:
    with running_fleet(tmp_path / "old") as fleet:
        lived_in(fleet)
        settings, folder = fleet.state.settings, tmp_path / "backup"
        make_backup(settings, settings.database, folder, keys=False, now=1.0)
        keyless = settings_of(tmp_path / "keyless")
        with pytest.raises(BackupFailed, match="no keys"):
            restore(keyless, keyless.data / "limosa.db", folder)
        with pytest.raises((BackupFailed, AlreadyRunning)):
            restore(settings, settings.database, folder)
        other = settings_of(tmp_path / "other")
        with pytest.raises(BackupFailed, match="sqlite"):
            restore(other, "postgresql://localhost/limosa", folder)
        assert bad(settings) == []


def test_path_in_a_strangers_manifest_leads_nowhere(tmp_path: Path) -> None:
    with running_fleet(tmp_path / "old") as fleet:
        settings, folder = fleet.state.settings, tmp_path / "backup"
        made = make_backup(settings, settings.database, folder, keys=True, now=1.0).manifest
    some = next(iter(made.files.values()))
    for path in ("../../evil", "/etc/evil", "a//b", "trust/../../evil", "home/evil"):
        files = {**made.files, path: some}
        (folder / MANIFEST).write_bytes(replace(made, files=files).encode())
        new = settings_of(tmp_path / "new")
        with pytest.raises(BackupFailed):
            restore(new, new.data / "limosa.db", folder)
    assert not (tmp_path / "evil").exists()


def test_check_names_each_thing_that_does_not_hold(tmp_path: Path) -> None:
    with running_fleet(tmp_path) as fleet:
        lived_in(fleet)
        settings = fleet.state.settings
    assert bad(settings, blobs=True) == []
    some = next(path for path in (settings.blobs / "sha256").rglob("*") if path.is_file())
    whole = some.read_bytes()
    some.write_bytes(whole[:-1] + b"?")
    assert bad(settings) == []
    assert bad(settings, blobs=True) == ["a blob is not what it was"]
    some.unlink()
    assert bad(settings) == ["a blob is missing"]
    some.write_bytes(whole)
    (settings.trust / "keys" / "director.pem").chmod(0o644)
    assert bad(settings) == ["a key can be read by others"]
    (settings.trust / "keys" / "director.pem").unlink()
    assert any("director" in what for what in bad(settings))
    with closing(sqlite3.connect(settings.data / "limosa.db")) as database, database:
        database.execute("UPDATE audit SET actor = 'somebody else' WHERE seq = 1")
    assert "the audit trail was changed" in bad(settings)
    (settings.data / "limosa.db").unlink()
    assert "there is no database" in bad(settings)


def test_a_folder_that_is_mistyped_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    """`backup` said that something unforeseen happened; `check` advised nine times to make new keys."""
    wrong = settings_of(tmp_path / "sever")
    with pytest.raises(BackupFailed, match="there is no database") as refused:
        make_backup(wrong, wrong.database, tmp_path / "backup", keys=False, now=0.0)
    assert refused.value.hint.startswith("give --data")
    (one,) = check(wrong, wrong.database, read_blobs=False)
    assert (one.bad, one.what, one.where) == (True, "there is no such folder", str(wrong.data))
    assert list(tmp_path.iterdir()) == []


def test_commands_say_what_they_did_and_exit_by_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first as a process of its own; the others by the same entry, in this one."""
    with running_fleet(tmp_path) as fleet:
        lived_in(fleet)
        data, folder = str(fleet.state.settings.data), str(tmp_path / "backup")
        words = ["server", "backup", "--data", data, "--keys", folder, "--json"]
        done = subprocess.run(
            [script("limosa"), *words], capture_output=True, text=True, timeout=120, check=False
        )
        assert (done.returncode, json.loads(done.stdout)["copied"]) == (0, 4), done.stderr
    assert limosa("server", "check", "--backup", folder) == 0
    assert capsys.readouterr().out == "all of it holds together\n"
    new = str(tmp_path / "new")
    assert limosa("server", "restore", "--data", new, folder) == 0
    assert "limosa publish --sync" in capsys.readouterr().out
    next(iter((tmp_path / "new" / "blobs" / "sha256").rglob("?" * 64))).unlink()
    assert limosa("server", "check", "--data", new, "--json") == 3
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert limosa("server", "check") == 2
    assert "LM-4" in capsys.readouterr().err


@given(
    st.binary(max_size=200)
    | st.dictionaries(st.text(max_size=8), st.integers()).map(lambda d: json.dumps(d).encode())
)
def test_no_bytes_make_a_manifest_reader_fall_over(data: bytes) -> None:
    with pytest.raises(LimosaError):
        BackupManifest.parse(data)


def test_manifest_reads_what_it_wrote() -> None:
    manifest = BackupManifest(
        made_at=1.5, revision="0002", database="sqlite", epoch=3, keys=False,
        files={DATABASE: "a" * 64, "tuf/1.root.json": "b" * 64}, blobs={"c" * 64: 7},
    )  # fmt: skip
    assert BackupManifest.parse(manifest.encode()) == manifest


def limosa(*words: str) -> int:
    return run(make_host(), prog_name="limosa", args=list(words))
