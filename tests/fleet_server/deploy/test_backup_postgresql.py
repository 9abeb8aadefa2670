"""Backups of a PostgreSQL database, where something is in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlmodel import select

from limosa_server.deploy import database_copy
from limosa_server.deploy.backup import make_backup, read_manifest
from limosa_server.deploy.check import check
from limosa_server.deploy.restore import restore
from limosa_server.errors import BackupFailed, StoreDown
from limosa_server.settings import ServerSettings
from limosa_server.store import Store
from limosa_server.tables.devices import Device
from tests.fleet_server.databases import Database
from tests.fleet_server.world import make_trust
from tests.support.postgresql import Cluster

MISMATCH = """#!/bin/sh
echo "pg_dump: error: aborting because of server version mismatch" >&2
echo "pg_dump: detail: server version: 15.1; pg_dump version: 9.6.24" >&2
exit 1
"""


LISTENS = """#!/bin/sh
echo "$@" > "$TOLD"
cat "$PGSERVICEFILE" >> "$TOLD.file"
ls -l "$PGSERVICEFILE" >> "$TOLD.file"
"""


@dataclass(slots=True)
class World:
    settings: ServerSettings
    cluster: Cluster
    empty: Callable[[], str]
    backup: Path

    def make(self) -> None:
        make_backup(self.settings, self.settings.database, self.backup, keys=True, now=1.0)


@pytest.fixture
def world(tmp_path: Path, postgresql_cluster: Callable[[], Cluster]) -> Iterator[World]:
    make_trust(tmp_path)
    places = Database("postgresql", tmp_path, postgresql_cluster)
    settings = ServerSettings(data=tmp_path / "data", database_url=str(places.place()), dev=True)
    with closing(Store.open(settings.database)) as store, store.transaction() as tx:
        tx.add(Device(id="d", enrolled_at=0.0))
    yield World(settings, postgresql_cluster(), lambda: str(places.place(empty=True)), tmp_path / "backup")
    places.drop()


def test_rights_and_extensions_of_the_old_cluster_do_not_keep_a_backup_from_the_new(
    world: World, tmp_path: Path
) -> None:
    name = str(make_url(world.settings.database_url).database)
    world.cluster.command("CREATE EXTENSION IF NOT EXISTS pg_trgm", database=name)
    world.cluster.command("CREATE ROLE watcher", database=name)
    world.cluster.command("GRANT SELECT ON ALL TABLES IN SCHEMA public TO watcher", database=name)
    world.make()
    world.cluster.command("DROP OWNED BY watcher", database=name)
    world.cluster.command("DROP ROLE watcher")
    new = ServerSettings(data=tmp_path / "new", database_url=world.empty(), dev=True)
    restore(new, new.database, world.backup)
    with closing(Store.open(new.database)) as store, store.read() as tx:
        assert tx.exec(select(Device.id)).all() == ["d"]


def test_no_server_waits_for_a_backup_or_a_check(world: World) -> None:
    """Both only read: while somebody writes they go on, and nobody's turn is taken."""
    with closing(Store.open(world.settings.database)) as store, store.transaction() as tx:
        tx.add(Device(id="e", enrolled_at=0.0))
        tx.flush()
        world.make()
        assert [one.what for one in check(world.settings, world.settings.database, read_blobs=False)
                if "schema" in one.what] == []  # fmt: skip
    assert read_manifest(world.backup).database == "postgresql"


def test_an_older_pg_dump_on_the_path_is_passed_over_for_a_newer_one(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "bin" / "pg_dump"
    old.parent.mkdir()
    old.write_text(MISMATCH)
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}:/usr/bin:/bin")
    world.make()
    monkeypatch.setattr(database_copy, "INSTALLED", "nowhere/*/bin")
    with pytest.raises(BackupFailed, match=r"pg_dump version: 9\.6\.24") as caught:
        world.make()
    assert "major version" in caught.value.hint
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupFailed, match="is not installed") as caught:
        world.make()
    assert "postgresql-client" in caught.value.hint
    assert read_manifest(world.backup).made_at == 1.0, "the backup before is still there"


def test_a_database_that_is_down_is_named_as_that(world: World) -> None:
    gone = "postgresql:///limosa?host=/nowhere"
    for work in (
        lambda: make_backup(world.settings, gone, world.backup, keys=True, now=1.0),
        lambda: check(world.settings, gone, read_blobs=False),
    ):
        with pytest.raises(StoreDown, match="does not answer"):
            work()


def test_several_hosts_of_one_database(world: World) -> None:
    """A standby that is down, or the primary that it became."""
    url = make_url(world.settings.database_url)
    several = url.set(
        query={"host": ("/nowhere", str(url.query["host"])), "target_session_attrs": "read-write"}
    )
    place = several.render_as_string(hide_password=False)
    with closing(Store.open(place)) as store, store.transaction() as tx:
        tx.add(Device(id="e", enrolled_at=0.0))
    make_backup(world.settings, place, world.backup, keys=True, now=1.0)


def test_the_password_of_a_tls_key_is_on_no_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody on the machine saw it in `ps` while the backup ran."""
    program = tmp_path / "pg_dump"
    program.write_text(LISTENS)
    program.chmod(0o755)
    told = tmp_path / "told"
    monkeypatch.setenv("TOLD", str(told))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    url = "postgresql://me:S3cret@db.example/limosa?sslkey=/etc/key&sslpassword=S3cret"
    database_copy.dump(url, tmp_path / "copy")
    assert "S3cret" not in told.read_text()
    assert "service=limosa" in told.read_text()
    section, given, listed = (tmp_path / "told.file").read_text().splitlines()
    assert (section, given) == ("[limosa]", "sslpassword=S3cret")
    assert listed.startswith("-rw-------")
    assert not Path(listed.split()[-1]).exists()
