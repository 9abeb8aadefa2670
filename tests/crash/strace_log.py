"""System calls as operations on inodes: what each descriptor and each path means is replayed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.disk_log import (
    ROOT,
    DiskLog,
    Enter,
    Image,
    Inode,
    Link,
    Mark,
    Operation,
    Rename,
    Resize,
    Sync,
    Unlink,
    Write,
)
from tests.crash.strace_calls import Call, calls_of, decoded


@dataclass(slots=True)
class _Open:
    """An open file description."""

    inode: int  # -1: nothing of the folder
    offset: int = 0
    appends: bool = False
    marks: bool = False


@dataclass(slots=True)
class Reading:
    """Replays calls on an image of the folder, to know which inode each of them means."""

    folder: Path
    marks: Path  # a file outside the folder: what is written to it is a mark
    image: Image
    operations: list[Operation] = field(default_factory=list)
    calls: list[Call | None] = field(default_factory=list)  # beside `operations`
    _open: dict[int, _Open] = field(default_factory=dict)
    _call: Call | None = None

    def take(self, call: Call) -> None:
        self._call = call
        name = {"pwritev": "writev", "fdatasync": "fsync"}.get(call.name, call.name)
        handler = getattr(self, f"_{name}", None)
        if handler is not None:
            handler(call)
        elif self._of_folder(call):
            raise AssertionError(f"the recorder does not know {call.name}({', '.join(call.words)[:200]})")

    def _add(self, operation: Operation) -> None:
        self.operations.append(operation)
        self.calls.append(self._call)

    def _of_folder(self, call: Call) -> bool:
        if call.words and call.words[0].isdigit():
            return self._inode(int(call.words[0])) >= 0
        return any(str(self.folder) in decoded(word).decode(errors="replace") for word in call.words)

    def _inode(self, descriptor: int) -> int:
        found = self._open.get(descriptor)
        return found.inode if found else -1

    # paths
    def _place(self, path: str, folder_descriptor: str = "AT_FDCWD") -> tuple[int, str] | None:
        """(folder's inode, name); None for what lies outside."""
        if not path.startswith("/"):
            start = self._inode(int(folder_descriptor)) if folder_descriptor.isdigit() else -1
            if start < 0:
                return None
            parts = path.split("/")
        else:
            inside = f"{self.folder}/"
            if not path.startswith(inside):
                return None
            start, parts = ROOT, path.removeprefix(inside).split("/")
        for part in parts[:-1]:
            number = self.image.names.get(start, {}).get(part)
            assert number is not None, f"{path} lies in a folder that is not known"
            start = self._followed(number)
        return start, parts[-1]

    def _followed(self, number: int) -> int:
        inode = self.image.inodes[number]
        if inode.kind != "link":
            return number
        raise AssertionError(f"the recorder does not follow the link to {inode.target}")

    def _born(self, place: tuple[int, str], inode: Inode) -> int:
        number = len(self.image.inodes)
        self.image.inodes[number] = inode
        if inode.kind == "folder":
            self.image.names[number] = {}
        self._enter(Enter(*place, number))
        return number

    def _enter(self, operation: Enter | Link | Rename | Unlink) -> None:
        self.image.name(operation)
        self._add(operation)

    # descriptors
    def _openat(self, call: Call) -> None:
        self._opened(call, call.words[0], call.text(1), call.words[2], call.words[3:])

    def _opened(self, call: Call, at: str, path: str, flags: str, mode: tuple[str, ...]) -> None:
        if path == str(self.marks):
            self._open[call.result] = _Open(-1, marks=True)
            return
        place = (ROOT, ".") if path == str(self.folder) else self._place(path, at)
        if place is None:
            self._open.pop(call.result, None)
            return
        number = ROOT if place == (ROOT, ".") else self.image.names[place[0]].get(place[1])
        if number is None:
            assert "O_CREAT" in flags, f"{path} is not known"
            number = self._born(place, Inode("file", int(mode[0], 8)))
        elif "O_TRUNC" in flags:
            self._add(Resize(number, 0))
        self._open[call.result] = _Open(number, appends="O_APPEND" in flags)

    def _close(self, call: Call) -> None:
        self._open.pop(int(call.words[0]), None)

    def _dup(self, call: Call) -> None:
        found = self._open.get(int(call.words[0]))
        if found is not None:
            self._open[call.result] = found

    _dup2 = _dup3 = _dup

    def _fcntl(self, call: Call) -> None:
        if call.words[1].startswith("F_DUPFD"):
            self._dup(call)

    def _lseek(self, call: Call) -> None:
        found = self._open.get(int(call.words[0]))
        if found is not None:
            found.offset = call.result

    # bytes
    def _write(self, call: Call) -> None:
        found = self._open.get(int(call.words[0]))
        if found is None:
            return
        data = decoded(call.words[1])[: call.result]
        if found.marks:
            for line in data.decode().splitlines():
                self._add(Mark(line))
            return
        if found.appends:
            found.offset = self._size(found.inode)
        self._store(found.inode, found.offset, data)
        found.offset += len(data)

    def _pwrite64(self, call: Call) -> None:
        inode = self._inode(int(call.words[0]))
        if inode >= 0:
            self._store(inode, int(call.words[3]), decoded(call.words[1])[: call.result])

    def _ftruncate(self, call: Call) -> None:
        inode = self._inode(int(call.words[0]))
        if inode >= 0:
            size = int(call.words[1])
            self.image.contents[inode] = self.image.contents.get(inode, b"")[:size].ljust(size, b"\0")
            self._add(Resize(inode, size))

    def _store(self, inode: int, offset: int, data: bytes) -> None:
        before = self.image.contents.get(inode, b"")
        end = offset + len(data)
        self.image.contents[inode] = before[:offset].ljust(offset, b"\0") + data + before[end:]
        self._add(Write(inode, offset, data))

    def _size(self, inode: int) -> int:
        return len(self.image.contents.get(inode, b""))

    def _fsync(self, call: Call) -> None:
        inode = self._inode(int(call.words[0]))
        if inode >= 0:
            self._add(Sync(inode))

    # names
    def _rename(self, call: Call) -> None:
        self._renamed(self._place(call.text(0)), self._place(call.text(1)))

    def _renameat2(self, call: Call) -> None:
        self._renamed(self._place(call.text(1), call.words[0]), self._place(call.text(3), call.words[2]))

    _renameat = _renameat2

    def _renamed(self, source: tuple[int, str] | None, target: tuple[int, str] | None) -> None:
        if source is None and target is None:
            return
        assert source is not None, "something comes into the folder from outside"
        assert target is not None, "something leaves the folder"
        inode = self.image.names[source[0]][source[1]]
        self._enter(Rename(*source, *target, inode))

    def _link(self, call: Call) -> None:
        self._linked(self._place(call.text(0)), self._place(call.text(1)))

    def _linkat(self, call: Call) -> None:
        self._linked(self._place(call.text(1), call.words[0]), self._place(call.text(3), call.words[2]))

    def _linked(self, source: tuple[int, str] | None, target: tuple[int, str] | None) -> None:
        if target is not None:
            assert source is not None, "a link to what is not in the folder"
            self._enter(Link(*target, self.image.names[source[0]][source[1]]))

    def _symlink(self, call: Call) -> None:
        self._linked_to(call.text(0), self._place(call.text(1)))

    def _symlinkat(self, call: Call) -> None:
        self._linked_to(call.text(0), self._place(call.text(2), call.words[1]))

    def _linked_to(self, text: str, place: tuple[int, str] | None) -> None:
        if place is not None:
            self._born(place, Inode("link", 0o777, text))

    def _unlink(self, call: Call) -> None:
        self._removed(self._place(call.text(0)))

    def _unlinkat(self, call: Call) -> None:
        self._removed(self._place(call.text(1), call.words[0]))

    _rmdir = _unlink

    def _removed(self, place: tuple[int, str] | None) -> None:
        if place is not None:
            self._enter(Unlink(*place))

    def _mkdir(self, call: Call) -> None:
        self._made(self._place(call.text(0)), call.words[1])

    def _mkdirat(self, call: Call) -> None:
        self._made(self._place(call.text(1), call.words[0]), call.words[2])

    def _made(self, place: tuple[int, str] | None, mode: str) -> None:
        if place is not None:
            self._born(place, Inode("folder", int(mode, 8)))


def read_log(trace: Path, *, folder: Path, marks: Path, base: Image) -> tuple[DiskLog, tuple[Call, ...]]:
    """The operations, and beside each the system call that made it."""
    now = base.copy()
    now.inodes = dict(base.inodes)
    reading = Reading(folder=folder, marks=marks, image=now)
    for call in calls_of(trace):
        reading.take(call)
    log = DiskLog(base, now.inodes, tuple(reading.operations))
    return log, tuple(call for call in reading.calls if call is not None)
