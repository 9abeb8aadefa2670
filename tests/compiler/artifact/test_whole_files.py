"""Files that belong together: all of them are there, or none is."""

from __future__ import annotations

from pathlib import Path

import pytest

from limosa_compiler.artifact.whole_files import written_together


def test_files_that_belong_together_get_their_names_together(tmp_path: Path) -> None:
    first, last = tmp_path / "first", tmp_path / "last"
    with written_together(first, last) as (one, two):
        one.write(b"1")
        two.write(b"2")
        assert not first.exists()
        assert not last.exists()
    assert (first.read_bytes(), last.read_bytes()) == (b"1", b"2")
    assert sorted(tmp_path.iterdir()) == [first, last]


def write_and_fail(first: Path, last: Path) -> None:
    with written_together(first, last) as (one, _):
        one.write(b"new")
        with Path("/dev/full").open("wb") as full:
            full.write(b"more than fits")


def test_disk_that_is_full_at_the_last_file_leaves_what_was_there_before(tmp_path: Path) -> None:
    first, last = tmp_path / "first", tmp_path / "last"
    first.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left"):
        write_and_fail(first, last)
    assert first.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [first]


def write_both(first: Path, last: Path) -> None:
    with written_together(first, last) as (one, two):
        one.write(b"1")
        two.write(b"2")


def test_name_that_is_refused_takes_back_the_names_before_it(tmp_path: Path) -> None:
    first, last = tmp_path / "first", tmp_path / "last"
    last.mkdir()  # a folder is in the way
    with pytest.raises(IsADirectoryError):
        write_both(first, last)
    assert list(tmp_path.iterdir()) == [last]
