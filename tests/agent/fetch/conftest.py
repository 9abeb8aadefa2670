"""One device and its server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.fetch.world import World
from tests.support.hostile_server import hostile_server


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with hostile_server() as server:
        yield World.make(server, tmp_path / "device")
