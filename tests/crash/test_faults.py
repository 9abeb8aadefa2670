"""Killed, out of disk, or refused by a broken disk at each system call (agent 8): what the program had
promised holds, and the next start goes on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.crash.explore import broken_promise, spread
from tests.crash.faults import faults
from tests.crash.lab import Lab
from tests.crash.paths import PATHS, CrashPath
from tests.crash.recorder import Fault, Stage

pytestmark = [pytest.mark.timeout(3000), pytest.mark.xdist_group("crash")]
SHORT = 5  # faults of each path


def broken_by_faults(
    laboratory: Lab, staged: Stage, name: str, folder: Path, *, most: int | None = None
) -> tuple[int, Sequence[str]]:
    """How many faults were injected, and what went wrong."""
    path = PATHS[name](laboratory)
    device = laboratory.place(path.base, folder / "device")
    recording = staged.record(path.program, path.args(device), folder=device)
    assert recording.run.code == 0, recording.run.log
    tried = spread(list(faults(recording)), most)
    found = []
    for fault in tried:
        shutil.rmtree(device)
        laboratory.place(path.base, device)
        wrong = _broken_by(staged, path, device, fault)
        if wrong is not None:
            found.append(f"{name}: {fault.what} at {fault.call} {fault.number}:\n{wrong}")
    return len(tried), found


def _broken_by(staged: Stage, path: CrashPath, device: Path, fault: Fault) -> str | None:
    run, injected = staged.inject(path.program, path.args(device), fault)
    assert injected, f"{fault} was not injected: {run}"
    wrong = broken_promise(lambda: path.judge(device, run.marks))
    return wrong and f"{wrong}\nthe program ended with {run.code}:\n{run.log[-1500:]}"


@pytest.mark.parametrize("name", PATHS)
def test_fault_at_a_system_call_breaks_no_promise(
    laboratory: Lab, staged: Stage, name: str, tmp_path: Path
) -> None:
    tried, found = broken_by_faults(laboratory, staged, name, tmp_path, most=SHORT)
    assert tried == SHORT
    assert not found, found[0]


@pytest.mark.soak
def test_fault_at_every_system_call_breaks_no_promise(laboratory: Lab, staged: Stage, tmp_path: Path) -> None:
    tried = 0
    for name in PATHS:
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        injected, found = broken_by_faults(laboratory, staged, name, folder)
        print(f"{name}: {injected} faults, {len(found)} violations", flush=True)
        assert not found, found[0]
        tried += injected
    print(f"in all: {tried} faults, 0 violations")
