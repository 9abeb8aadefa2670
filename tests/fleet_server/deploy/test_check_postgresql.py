"""A PostgreSQL that was made fast at the price of what it holds: the check says so, and does not fail."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url

from limosa_server.deploy.check import check
from limosa_server.deploy.check_postgresql import DANGERS
from limosa_server.settings import ServerSettings
from limosa_server.store import Store
from tests.fleet_server.world import make_trust
from tests.support.postgresql import SETTINGS, Cluster, running_cluster


def notes(settings: ServerSettings) -> list[str]:
    """Settings that are noted, the first word of each note; nothing else of the database is amiss."""
    found = [one for one in check(settings, settings.database, read_blobs=False) if "off:" in one.what]
    assert not any(one.bad for one in found)
    assert all("ALTER SYSTEM" in one.hint for one in found)
    return [one.what.partition(" ")[0] for one in found]


def settings_of(folder: Path, cluster: Cluster) -> ServerSettings:
    make_trust(folder)
    settings = ServerSettings(data=folder / "data", database_url=cluster.create("limosa"), dev=True)
    Store.open(settings.database).close()
    return settings


def test_each_setting_that_is_off_is_noted_until_it_is_on_again(tmp_path: Path) -> None:
    with running_cluster() as cluster:  # of the tests' own kind: fsync off
        settings = settings_of(tmp_path, cluster)
        assert all(SETTINGS[setting] == "off" for setting in DANGERS)
        assert notes(settings) == list(DANGERS)
        name = make_url(settings.database_url).database
        cluster.command(f'ALTER DATABASE "{name}" SET synchronous_commit = local')
        assert notes(settings) == ["fsync", "full_page_writes"]
        cluster.stop()
        cluster.settings |= {"fsync": "on", "full_page_writes": "on"}
        cluster.start()
        assert notes(settings) == []
        with closing(Store.open(settings.database)) as store:
            assert store.kind == "postgresql"
