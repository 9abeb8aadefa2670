"""A device with its fleet server: real processes, real HTTP, real models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.device import Device
from tests.agent.fleet import Fleet, running_fleet
from tests.support.processes import Processes


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path / "fleet") as running:
        yield running


@pytest.fixture
def device(fleet: Fleet, processes: Processes, tmp_path: Path) -> Device:
    """Enrolled, not started."""
    made = Device(folder=tmp_path / "device", fleet=fleet, processes=processes)
    made.write_config()
    made.enroll()
    return made
