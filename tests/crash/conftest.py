"""One fleet server, one device and one stage for all crash tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.lab import Lab, lab
from tests.crash.recorder import Stage, stage


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("crash") / "lab") as made:
        yield made


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("crash") / "stage") as running:
        yield running
