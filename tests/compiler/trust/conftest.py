"""A fleet's keys, made for one test, and a server that begins with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from limosa_compiler.trust.ceremony import init_keys
from limosa_compiler.trust.offline_folder import open_team
from limosa_compiler.trust.publishing import Publisher
from limosa_compiler.trust.server_client import ClientLimits, FleetServer
from tests.support.publish_server import TOKEN, FleetStore, publish_server


@dataclass
class Fleet:
    offline: Path
    trust: Path
    url: str
    store: FleetStore

    def server(self) -> FleetServer:
        return FleetServer(url=self.url, token=TOKEN, limits=QUICK)

    def publisher(self, server: FleetServer | None = None, *, offline: Path | None = None) -> Publisher:
        """One who opens the folder now."""
        return Publisher(
            folder=open_team(offline or self.offline, "demo", {}),
            server=server,
            now=lambda: datetime.now(UTC),
        )


QUICK = ClientLimits(connect_s=2.0, idle_s=5.0, tries=5, first_pause_s=0.001, chunk_bytes=100)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    offline, trust = tmp_path / "offline", tmp_path / "data" / "trust"
    init_keys(offline=offline, server=trust, team="demo", now=datetime.now(UTC), dev=True)
    with publish_server(trust) as (url, store):
        yield Fleet(offline=offline, trust=trust, url=url, store=store)
