"""What a program did to a folder: operations on inodes, in order, and the folder that they began from.

Inodes, not paths: a rename or a second hard link moves no bytes, and an fsync is of an inode.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias

ROOT: Final = 0
"""The inode of the folder itself."""


@dataclass(frozen=True, slots=True)
class Enter:
    """A new inode gets its first name."""

    folder: int
    name: str
    inode: int


@dataclass(frozen=True, slots=True)
class Link:
    folder: int
    name: str
    inode: int


@dataclass(frozen=True, slots=True)
class Rename:
    from_folder: int
    from_name: str
    folder: int
    name: str
    inode: int


@dataclass(frozen=True, slots=True)
class Unlink:
    folder: int
    name: str


@dataclass(frozen=True, slots=True)
class Write:
    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """fsync or fdatasync of a file or a folder."""

    inode: int


@dataclass(frozen=True, slots=True)
class Mark:
    """What the program has promised from here on."""

    text: str


Naming: TypeAlias = Enter | Link | Rename | Unlink
Bytes: TypeAlias = Write | Resize
Operation: TypeAlias = Naming | Bytes | Sync | Mark


@dataclass(frozen=True, slots=True)
class Inode:
    """What an inode is from birth; `target` is a symbolic link's text."""

    kind: str  # "file", "folder" or "link"
    mode: int = 0o600
    target: str = ""


@dataclass(slots=True)
class Image:
    """A file tree: names by folder, bytes by file."""

    inodes: dict[int, Inode] = field(default_factory=lambda: {ROOT: Inode("folder", 0o700)})
    names: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    contents: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Image:
        """What lies there now; hard links stay one inode. Sockets are left out."""
        image = cls()
        known: dict[int, int] = {}

        def enter(path: Path, parent: int) -> None:
            facts = path.lstat()
            number = known.get(facts.st_ino) if stat.S_ISREG(facts.st_mode) else None
            if number is None:
                number = known[facts.st_ino] = len(image.inodes)
                mode = stat.S_IMODE(facts.st_mode)
                if stat.S_ISLNK(facts.st_mode):
                    image.inodes[number] = Inode("link", mode, str(path.readlink()))
                elif stat.S_ISDIR(facts.st_mode):
                    image.inodes[number] = Inode("folder", mode)
                    image.names[number] = {}
                elif stat.S_ISREG(facts.st_mode):
                    image.inodes[number] = Inode("file", mode)
                    image.contents[number] = path.read_bytes()
                else:
                    return
            image.names[parent][path.name] = number
            if image.inodes[number].kind == "folder":
                for child in sorted(path.iterdir()):
                    enter(child, number)

        for child in sorted(folder.iterdir()):
            enter(child, ROOT)
        return image

    def find(self, path: str) -> int | None:
        """The inode of a path relative to the folder; links are not followed."""
        number = ROOT
        for part in (part for part in path.split("/") if part):
            found = self.names.get(number, {}).get(part)
            if found is None:
                return None
            number = found
        return number

    def copy(self) -> Image:
        return Image(
            inodes=self.inodes,
            names={folder: dict(names) for folder, names in self.names.items()},
            contents=dict(self.contents),
        )

    def name(self, operation: Naming) -> None:
        """Carries out one operation on names; what it needs may be missing where it is a mutant's."""
        if isinstance(operation, Unlink):
            self.names.setdefault(operation.folder, {}).pop(operation.name, None)
            return
        if isinstance(operation, Rename):
            source = self.names.setdefault(operation.from_folder, {})
            if source.get(operation.from_name) == operation.inode:
                del source[operation.from_name]
        self.names.setdefault(operation.folder, {})[operation.name] = operation.inode

    def carry_out(self, operation: Operation) -> None:
        """Any operation, as the running program sees it."""
        if isinstance(operation, (Write, Resize)):
            self.contents[operation.inode] = changed(self.contents.get(operation.inode, b""), operation)
        elif isinstance(operation, (Enter, Link, Rename, Unlink)):
            self.name(operation)

    def files(self) -> Iterator[tuple[str, int]]:
        """Every path that can be reached, folders before what is in them, in one order."""
        waiting = [("", ROOT)]
        while waiting:
            path, number = waiting.pop(0)
            if path:
                yield path, number
            for name, child in sorted(self.names.get(number, {}).items()):
                waiting.append((f"{path}/{name}" if path else name, child))

    def write_to(self, folder: Path) -> None:
        """The tree as real files."""
        folder.mkdir(mode=0o700)
        first: dict[int, Path] = {}
        for name, number in self.files():
            path, inode = folder / name, self.inodes[number]
            if inode.kind == "folder":
                path.mkdir(mode=inode.mode)
            elif inode.kind == "link":
                path.symlink_to(inode.target)
            elif number in first:
                os.link(first[number], path)
            else:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, inode.mode)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(self.contents.get(number, b""))
                first[number] = path


@dataclass(frozen=True, slots=True)
class DiskLog:
    """`base` is durable; nothing of `operations` is but by its syncs."""

    base: Image
    inodes: dict[int, Inode]  # those born in `operations` too
    operations: tuple[Operation, ...]

    def without(self, position: int) -> DiskLog:
        """The same program with one operation left out."""
        kept = self.operations[:position] + self.operations[position + 1 :]
        return replace(self, operations=kept)

    def end(self) -> Image:
        """What the program itself sees when it has ended."""
        image = self.base.copy()
        image.inodes = self.inodes
        for operation in self.operations:
            image.carry_out(operation)
        return image


def changed(data: bytes, operation: Bytes) -> bytes:
    """A file's bytes after a write or a change of its size; a gap is zeros."""
    if isinstance(operation, Resize):
        return data[: operation.size].ljust(operation.size, b"\0")
    end = operation.offset + len(operation.data)
    return data[: operation.offset].ljust(operation.offset, b"\0") + operation.data + data[end:]


def names_of(operation: Operation) -> set[tuple[int, str]]:
    """The names that an operation changes, each as (folder, name)."""
    if isinstance(operation, Rename):
        return {(operation.folder, operation.name), (operation.from_folder, operation.from_name)}
    if isinstance(operation, (Enter, Link, Unlink)):
        return {(operation.folder, operation.name)}
    return set()


def fails_at(log: DiskLog) -> int | None:
    """The position at which a kernel would refuse an operation of a mutant; None if it takes them all."""
    image = log.base.copy()
    image.inodes = log.inodes
    for position, op in enumerate(log.operations):
        if isinstance(op, Rename):
            there = image.names.get(op.folder, {}).get(op.name)
            full = there is not None and bool(image.names.get(there))
            missing = image.names.get(op.from_folder, {}).get(op.from_name) != op.inode
            if missing or full:
                return position
        image.carry_out(op)
    return None
