"""A seeded fleet, and people who are signed in to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from limosa_server.access.roles import Role
from tests.fleet_server.signed_fleet import SignedFleets
from tests.fleet_server.world import Fleet, running_fleet
from tests.support.seeded_fleet import seed_fleet


@dataclass(slots=True)
class Dashboard:
    """`visitor` gives a browser without script: it follows redirects and keeps cookies."""

    fleet: Fleet
    opened: ExitStack

    @property
    def url(self) -> str:
        return str(self.fleet.http.base_url).rstrip("/")

    def visitor(self, role: Role | None = Role.OPERATOR, *, follow: bool = True) -> httpx.Client:
        """Signed in with a new token of that role; None: a stranger."""
        client = self.opened.enter_context(
            httpx.Client(base_url=self.url, trust_env=False, timeout=30, follow_redirects=follow)
        )
        if role is not None:
            answer = client.post("/login", data={"token": self.fleet.token(role), "next": "/"})
            assert answer.status_code in (200, 303), answer.text
        return client


@pytest.fixture
def empty(tmp_path: Path, signed_fleets: SignedFleets) -> Iterator[Dashboard]:
    """A server in its first minute."""
    signed_fleets.copy(tmp_path)
    with ExitStack() as opened:
        yield Dashboard(opened.enter_context(running_fleet(tmp_path)), opened)


@pytest.fixture
def dashboard(empty: Dashboard) -> Dashboard:
    """Forty devices, and rollouts in every state."""
    with empty.fleet.state.store.transaction() as tx:
        seed_fleet(tx, now=empty.fleet.clock.now)
    return empty


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """The same for tests that only look: made once for all of a file."""
    with ExitStack() as opened:
        fleet = opened.enter_context(running_fleet(tmp_path_factory.mktemp("shown")))
        with fleet.state.store.transaction() as tx:
            seed_fleet(tx, now=fleet.clock.now)
        yield Dashboard(fleet, opened)
