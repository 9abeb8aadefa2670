"""What tests of the fleet share: commands of `limosa` against the server, and its broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_server.access.roles import Role
from tests.fleet_server.secured_broker import Secured, secured_broker
from tests.fleet_server.world import Fleet

Limosa: TypeAlias = Callable[..., int]


@pytest.fixture
def limosa(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Limosa:
    """Runs `limosa …` as an operator; its exit code."""
    monkeypatch.setenv("LIMOSA_SERVER", str(fleet.http.base_url))
    monkeypatch.setenv("LIMOSA_TOKEN", fleet.token(Role.OPERATOR))
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *args: run(make_host(), prog_name="limosa", args=[str(arg) for arg in args])


@pytest.fixture
def secured(fleet: Fleet, tmp_path: Path) -> Iterator[Secured]:
    with secured_broker(fleet, tmp_path) as running:
        yield running
