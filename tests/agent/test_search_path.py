"""Who can write where the agent is started from does not decide what it imports."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from limosa_agent.fetch_child import FetchFailed, run_fetch
from tests.agent.device import Device

PLANTED = "import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\nraise ImportError('planted')\n"


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with modules of a stranger, named as those that every process of the agent needs."""
    folder = tmp_path / "shared"
    folder.mkdir()
    for name in ("json", "ssl", "tuf", "hashlib", "limosa_agent"):
        (folder / f"{name}.py").write_text(PLANTED)
    monkeypatch.chdir(folder)
    return folder


def test_fetch_child_imports_nothing_of_the_folder_it_was_started_in(shared: Path, tmp_path: Path) -> None:
    request = {"op": "refresh", "server": "http://127.0.0.1:9", "state_dir": str(tmp_path / "state")}
    outcome = asyncio.run(run_fetch(request, lambda progress: None))
    assert isinstance(outcome, FetchFailed)
    assert list(shared.glob("*.ran")) == []


def test_agent_imports_nothing_of_the_folder_it_was_started_in(shared: Path, device: Device) -> None:
    device.start()
    assert json.loads(device.command("status", "--json").stdout)["models"] == []
    assert device.stop() == 0
    assert list(shared.glob("*.ran")) == []
