"""The server's fixtures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from limosa_server.access.roles import Role
from limosa_server.assembly import make_controller
from limosa_server.rollouts.controller import Controller
from limosa_server.store import postgresql, sqlite
from tests.fleet_server.databases import (
    Database,
    database,
    kinds_of,
    postgresql_cluster,
    postgresql_database,
)
from tests.fleet_server.kept_statements import sharing_engine
from tests.fleet_server.obedient import publish
from tests.fleet_server.signed_fleet import SignedFleets
from tests.fleet_server.world import Device, Fleet, running_fleet

__all__ = [
    "database",
    "postgresql_cluster",
    "postgresql_database",
]  # for every test below


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Which databases a test runs on."""
    if "database" in metafunc.fixturenames:
        metafunc.parametrize("database", kinds_of(metafunc), indirect=True)


@pytest.fixture(scope="session", autouse=True)
def statements_are_kept() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (sqlite, postgresql):
            patch.setattr(module, "create_engine", sharing_engine)
        yield


@pytest.fixture(scope="session")
def signed_fleets(tmp_path_factory: pytest.TempPathFactory) -> SignedFleets:
    return SignedFleets(tmp_path_factory.mktemp("signed"))


@pytest.fixture
def fleet(tmp_path: Path, database: Database, signed_fleets: SignedFleets) -> Iterator[Fleet]:
    """A server in this process."""
    with running_fleet(tmp_path, database_url=signed_fleets.copy(tmp_path, database)) as running:
        yield running


@pytest.fixture
def devices(fleet: Fleet) -> list[Device]:
    """Three devices in the group `all`, two of them at hq; two releases are published."""
    publish(fleet, "1.0.0", 1)
    publish(fleet, "2.0.0", 2)
    made = fleet.http.post("/api/v1/groups", json={"name": "all"}, headers=fleet.headers())
    assert made.status_code == 201, made.text
    return [
        fleet.enroll(fleet.enroll_token(group="all", labels={"site": site})) for site in ("hq", "hq", "lab")
    ]


@pytest.fixture
def controller(fleet: Fleet) -> Controller:
    return make_controller(fleet.state)


@pytest.fixture
def operator(fleet: Fleet, devices: list[Device]) -> dict[str, str]:
    return fleet.headers(Role.OPERATOR)
