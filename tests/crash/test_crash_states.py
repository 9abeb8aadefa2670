"""The generator of crash states, on programs of a few operations whose states can be written down; and
programs that are known to be wrong, which it must catch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.crash.crash_states import crash_states
from tests.crash.disk_log import (
    ROOT,
    DiskLog,
    Enter,
    Image,
    Inode,
    Mark,
    Naming,
    Operation,
    Rename,
    Sync,
    Unlink,
    Write,
    fails_at,
)
from tests.crash.explore import spread

OLD, NEW, FOLDER = 1, 2, 3
Tree = dict[str, bytes]


def log_of(*operations: Operation) -> DiskLog:
    """On a folder with the file `name`, which holds b"old", and an empty folder `other`."""
    inodes = {
        ROOT: Inode("folder"), OLD: Inode("file"), NEW: Inode("file"), FOLDER: Inode("folder"),
    }  # fmt: skip
    base = Image(
        inodes=inodes,
        names={ROOT: {"name": OLD, "other": FOLDER}, FOLDER: {}},
        contents={OLD: b"old"},
    )
    return DiskLog(base, inodes, operations)


def trees(log: DiskLog, mark: str = "") -> list[Tree]:
    """What may be found, where a mark is given only after it."""
    found = []
    for state in crash_states(log):
        if not mark or mark in state.marks:
            contents = state.image.contents
            found.append({path: contents.get(number, b"") for path, number in state.image.files()})
    return found


CREATE = Enter(ROOT, "name.new", NEW)
FILL = Write(NEW, 0, b"new!")
REPLACE = Rename(ROOT, "name.new", ROOT, "name", NEW)
ATOMIC: tuple[Operation, ...] = (CREATE, FILL, Sync(NEW), REPLACE, Sync(ROOT), Mark("done"))


def test_file_replaced_by_the_rule_is_old_or_new_and_new_when_done() -> None:
    log = log_of(*ATOMIC)
    assert {tree["name"] for tree in trees(log)} == {b"old", b"new!"}
    assert {tree["name"] for tree in trees(log, "done")} == {b"new!"}


@pytest.mark.parametrize(
    ("left_out", "found"),
    [(2, {b"", b"ne", b"\0\0\0\0", b"new!"}), (4, {b"old", b"new!"})],
    ids=["sync of the file", "sync of the folder"],
)
def test_what_a_missing_sync_costs(left_out: int, found: set[bytes]) -> None:
    assert {tree["name"] for tree in trees(log_of(*ATOMIC).without(left_out), "done")} == found


def test_new_name_in_another_folder_and_the_old_one_come_and_go_by_themselves() -> None:
    move = Rename(ROOT, "name", FOLDER, "name", OLD)
    places = {tuple(sorted(path for path in tree if "name" in path)) for tree in trees(log_of(move))}
    assert places == {("name",), ("other/name",), ("name", "other/name"), ()}
    synced = {tuple(sorted(path for path in tree if "name" in path))
              for tree in trees(log_of(move, Sync(FOLDER), Sync(ROOT), Mark("done")), "done")}  # fmt: skip
    assert synced == {("other/name",)}


def test_writes_that_were_not_synced_are_there_in_any_order() -> None:
    log = log_of(Write(OLD, 3, b"1"), Write(OLD, 4, b"2"), Mark("done"))
    assert {tree["name"] for tree in trees(log, "done")} >= {b"old", b"old1", b"old\x002", b"old12"}


def test_name_is_not_taken_away_before_it_was_given() -> None:
    log = log_of(Unlink(ROOT, "name"), Enter(ROOT, "name", NEW))
    assert {tree.get("name") for tree in trees(log)} == {b"old", None, b""}


def test_program_that_lacks_a_rename_may_fail_at_once() -> None:
    log = log_of(CREATE, Rename(ROOT, "name.new", ROOT, "a", NEW), Rename(ROOT, "a", ROOT, "b", NEW))
    assert fails_at(log) is None
    assert fails_at(log.without(1)) == 1


def naming(folders: int = 2) -> st.SearchStrategy[Naming | Sync | Write]:
    folder = st.sampled_from([ROOT, FOLDER][:folders])
    name = st.sampled_from(["name", "a", "b"])
    return st.one_of(
        st.builds(Enter, folder, name, st.just(NEW)),
        st.builds(Unlink, folder, name),
        st.builds(Sync, st.sampled_from([ROOT, FOLDER, OLD, NEW])),
        st.builds(Write, st.sampled_from([OLD, NEW]), st.integers(0, 4), st.binary(min_size=1, max_size=3)),
    )


@given(st.lists(naming(), max_size=7))
def test_what_the_program_sees_is_a_crash_state_and_the_only_one_when_all_is_synced(
    operations: list[Operation],
) -> None:
    log = log_of(*operations)
    end = {path: log.end().contents.get(number, b"") for path, number in log.end().files()}
    assert end in trees(log)
    everything = [Sync(inode) for inode in (OLD, NEW, FOLDER, ROOT)]
    assert trees(log_of(*operations, *everything, Mark("done")), "done") == [end]


@given(st.lists(naming(), max_size=7))
def test_more_syncs_leave_fewer_states(operations: list[Operation]) -> None:
    after: Callable[[DiskLog], set[str]] = lambda log: {repr(sorted(t.items())) for t in trees(log, "done")}  # noqa: E731  said twice
    assert after(log_of(*operations, Sync(ROOT), Mark("done"))) <= after(log_of(*operations, Mark("done")))


def test_tree_is_written_and_read_back(tmp_path: Path) -> None:
    log = log_of(*ATOMIC)
    log.end().write_to(tmp_path / "made")
    made = Image.read(tmp_path / "made")
    assert {path: made.contents.get(n) for path, n in made.files()} == {"name": b"new!", "other": None}


def test_sample_is_spread_and_ends_with_the_last() -> None:
    assert list(spread(list(range(10)), 3)) == [3, 6, 9]
    assert list(spread([1, 2], 5)) == [1, 2]
