"""The stick that a mirror is written to may be anybody's: what it leads to is left alone (trust 3.5, 7.1)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from limosa_contracts.mirror import MARKER_FILE, MirrorMarker
from limosa_server.errors import NotAMirror
from limosa_server.mirror.mirror_folder import INCOMPLETE, MirrorFolder

MARKER = MirrorMarker(id="m", made=0, expires=0, releases=(), devices=0)
DESIRED = "desired/dev-1.json"


def write(folder: Path) -> None:
    mirror = MirrorFolder(folder)
    mirror.write(DESIRED, b"signed")
    mirror.finish(MARKER)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What belongs to whoever writes the mirror."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "thesis").write_bytes(b"four years")
    return folder


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    (folder / MARKER_FILE).write_bytes(MARKER.encode())
    return folder


@pytest.mark.parametrize("name", ["desired", "blobs", "tuf", "tuf/metadata", "blobs/sha256"])
def test_folder_of_a_stick_that_is_a_link_is_refused_and_nothing_is_removed(
    stick: Path, home: Path, name: str
) -> None:
    (stick / name).parent.mkdir(exist_ok=True)
    (stick / name).symlink_to(home)
    with pytest.raises(NotAMirror):
        write(stick)
    assert {path.name: path.read_bytes() for path in home.iterdir()} == {"thesis": b"four years"}


@pytest.mark.parametrize(
    "name", [MARKER_FILE, INCOMPLETE, f"{MARKER_FILE}.part", DESIRED, f"{DESIRED}.part", "tuf/gone.json"]
)
def test_file_of_a_stick_that_is_a_link_is_not_written_through(stick: Path, home: Path, name: str) -> None:
    (stick / INCOMPLETE).touch()
    (stick / name).unlink(missing_ok=True)
    (stick / name).parent.mkdir(exist_ok=True)
    (stick / name).symlink_to(home / "thesis")
    with pytest.raises(NotAMirror):
        write(stick)
    assert (home / "thesis").read_bytes() == b"four years"


def test_pipe_of_a_stick_is_not_waited_for(stick: Path) -> None:
    (stick / "desired").mkdir()
    os.mkfifo(stick / DESIRED)
    with pytest.raises(NotAMirror):
        write(stick)


def test_mirror_is_written_again_over_what_a_cut_left_of_the_last_one(stick: Path) -> None:
    write(stick)
    (stick / f"{DESIRED}.part").write_bytes(b"half")
    (stick / INCOMPLETE).touch()
    (stick / "blobs" / "sha256").mkdir(parents=True)
    (stick / "blobs" / "sha256" / ("0" * 64)).write_bytes(b"of an earlier one")
    write(stick)
    left = sorted(str(path.relative_to(stick)) for path in stick.rglob("*") if path.is_file())
    assert left == [DESIRED, MARKER_FILE]
