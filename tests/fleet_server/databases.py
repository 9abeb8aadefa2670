"""The databases that the server's tests run on: SQLite, and a real PostgreSQL, one cluster a worker.

A test that takes `database` (or `fleet`, `small_fleet` and others made from it) runs on SQLite; with
`pytestmark = pytest.mark.both_databases` in its module, or on it, on PostgreSQL too. The variable
LIMOSA_TEST_DATABASES=postgresql runs every such test of the suite there (`sqlite,postgresql`: on both).
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import make_url

from limosa_server.store import Store
from tests.support.postgresql import Cluster, running_cluster

KINDS: Final = ("sqlite", "postgresql")
CHOSEN: Final = "LIMOSA_TEST_DATABASES"
TEMPLATE: Final = "limosa_template"


@dataclass(slots=True)
class Database:
    """Gives places for `Store.open`: paths, or URLs of fresh databases."""

    kind: str
    folder: Path
    cluster: Callable[[], Cluster]
    _made: list[str] = field(default_factory=list)

    def place(self, name: str = "limosa", *, empty: bool = False) -> Path | str:
        """A new database. Unless `empty` it has the newest schema: `Store.open` is quick."""
        if self.kind == "sqlite":
            path = self.folder / f"{name}.db"
            return path if empty else with_schema(path)
        return self._create("template0" if empty else TEMPLATE)

    def url(self, *, template: str = TEMPLATE) -> str:
        """For settings: "" is SQLite in the data folder. `template`: the database it begins as."""
        return "" if self.kind == "sqlite" else self._create(template)

    def template(self, name: str) -> str:
        """The URL of a new PostgreSQL database of the newest schema, which stays as long as the cluster."""
        return self.cluster().create(name, template=TEMPLATE)

    def copy(self, place: Path | str) -> Path | str:
        """Another database with the same rows; nobody may be connected to the first if it is PostgreSQL,
        or commit meanwhile if it is SQLite."""
        if isinstance(place, Path):
            other = self.folder / f"copy-{next(_NUMBERS)}.db"
            shutil.copy(place, other)
            log = place.with_name(f"{place.name}-wal")
            if log.exists():  # holds what is committed since the last checkpoint
                shutil.copy(log, other.with_name(f"{other.name}-wal"))
            return other
        return self._create(str(make_url(place).database))

    def drop(self) -> None:
        for name in self._made:
            self.cluster().drop(name)

    def _create(self, template: str) -> str:
        name = f"limosa_{next(_NUMBERS)}"
        self._made.append(name)
        return self.cluster().create(name, template=template)


_NUMBERS = itertools.count(1)


@cache
def _newest_schema() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "limosa.db"
        Store.open(place).close()
        return place.read_bytes()


def with_schema(path: Path) -> Path:
    """Makes a SQLite file of the newest schema; one that is there is left as it is.

    Migrating from nothing takes longer than most tests: it is done once in a process, and tested by
    itself (store/test_migrations.py, test_server_run.py).
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_newest_schema())
    return path


def kinds_of(metafunc: pytest.Metafunc) -> list[str]:
    chosen = os.environ.get(CHOSEN, "")
    if chosen:
        return [kind for kind in KINDS if kind in chosen.split(",")]
    both = metafunc.definition.get_closest_marker("both_databases")
    return list(KINDS) if both else ["sqlite"]


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[Callable[[], Cluster]]:
    """Started when it is first asked for, with an empty database of the newest schema in it."""
    running: list[Cluster] = []
    with ExitStack() as stack:

        def get() -> Cluster:
            if not running:
                cluster = stack.enter_context(running_cluster())
                Store.open(cluster.create(TEMPLATE)).close()
                running.append(cluster)
            return running[0]

        yield get


@pytest.fixture
def database(
    request: pytest.FixtureRequest, tmp_path: Path, postgresql_cluster: Callable[[], Cluster]
) -> Iterator[Database]:
    made = Database(request.param, tmp_path, postgresql_cluster)
    yield made
    made.drop()


@pytest.fixture
def postgresql_database(tmp_path: Path, postgresql_cluster: Callable[[], Cluster]) -> Iterator[str]:
    """The URL of one of the newest schema, whatever the other tests run on."""
    made = Database("postgresql", tmp_path, postgresql_cluster)
    yield str(made.place())
    made.drop()
