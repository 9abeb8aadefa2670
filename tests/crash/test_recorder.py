"""The two recorders see the same, and what they saw leads to the folder that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.disk_log import Enter, Image, Rename, Sync, Unlink
from tests.crash.lab import Lab
from tests.crash.paths import PATHS
from tests.crash.recorder import WITH_DATABASE, Recording, Stage

pytestmark = pytest.mark.xdist_group("crash")


def recorded(laboratory: Lab, staged: Stage, name: str, folder: Path, *, shim: bool) -> Recording:
    path = PATHS[name](laboratory)
    device = laboratory.place(path.base, folder / f"device-{shim}")
    recording = staged.record(path.program, path.args(device), folder=device, shim=shim)
    assert recording.run.code == 0, recording.run.log
    assert tree(recording.disk.end()) == tree(Image.read(device))
    return recording


def tree(image: Image) -> dict[str, tuple[str, str, bytes]]:
    found = {}
    for path, number in image.files():
        inode = image.inodes[number]
        if not path.endswith("-shm"):  # shared memory, which is mapped and made again at start
            found[path] = (inode.kind, inode.target, image.contents.get(number, b""))
    return found


@pytest.mark.parametrize("name", ["install", "collection"])
def test_shim_sees_what_strace_sees(laboratory: Lab, staged: Stage, name: str, tmp_path: Path) -> None:
    names = (Enter, Rename, Unlink, Sync)
    seen = [recorded(laboratory, staged, name, tmp_path, shim=shim).disk.operations for shim in (False, True)]
    by_strace, by_shim = ([op for op in ops if isinstance(op, names)] for ops in seen)
    assert by_strace == by_shim
    assert len(by_strace) > 3


def test_recording_of_a_database_leads_to_the_database(
    laboratory: Lab, staged: Stage, tmp_path: Path
) -> None:
    recording = recorded(laboratory, staged, "late failure", tmp_path, shim=False)
    assert PATHS["late failure"](laboratory).program in WITH_DATABASE
    assert any(isinstance(op, Rename) for op in recording.disk.operations)
