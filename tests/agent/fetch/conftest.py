"""One device and its server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.fetch.tuf_world import Client, Repository
from tests.agent.fetch.world import World
from tests.support.hostile_server import hostile_server


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with hostile_server() as server:
        yield World.make(server, tmp_path / "device")


@pytest.fixture
def tuf_client(tmp_path: Path) -> Iterator[Client]:
    """`limosa-agent tuf` and a repository of its own; not initialised."""
    with hostile_server() as server:
        yield Client(Repository(server), tmp_path)


@pytest.fixture
def ready(tuf_client: Client) -> Client:
    """Initialised and refreshed once."""
    assert tuf_client.init() == 0
    assert tuf_client.refresh() == 0
    tuf_client.asked()
    return tuf_client
