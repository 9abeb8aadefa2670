"""Reads what strace wrote of a process: the system calls that succeeded, in the order in which they ended."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CHANGING: Final = (
    "open", "openat", "creat", "write", "pwrite64", "writev", "pwritev", "pwritev2", "truncate", "ftruncate",
    "fallocate", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink",
    "unlinkat", "mkdir", "mkdirat", "rmdir", "fsync", "fdatasync", "sync_file_range", "copy_file_range",
    "sendfile",
)  # fmt: skip
"""System calls that change files or make a change durable, by their names on Linux."""
KEEPING: Final = ("close", "dup", "dup2", "dup3", "fcntl", "lseek")
"""Those that change what a descriptor means."""
_LINE: Final = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+|\?)(?:.*)$", re.DOTALL)
_UNFINISHED: Final = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>$", re.DOTALL)
_RESUMED: Final = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that succeeded; `number` counts those of its name in its thread,
    from 1, as strace does when it injects a fault."""

    name: str
    number: int
    words: tuple[str, ...]
    result: int

    def text(self, position: int) -> str:
        return decoded(self.words[position]).decode()


def calls_of(trace: Path) -> Iterator[Call]:
    """In the order in which they ended."""
    counts: Counter[tuple[str, str]] = Counter()
    begun: dict[str, str] = {}
    for line in trace.read_text().splitlines():
        if unfinished := _UNFINISHED.match(line):
            begun[unfinished[1]] = f"{unfinished[2]}({unfinished[3]}"
            counts[unfinished[1], unfinished[2]] += 1
            continue
        resumed = _RESUMED.match(line)
        if resumed:
            line = f"{resumed[1]} {begun.pop(resumed[1])}{resumed[3]}"
        found = _LINE.match(line)
        if found is None:
            continue  # a signal, or the end of a thread
        if not resumed:
            counts[found[1], found[2]] += 1
        if found[4] == "?" or found[4].startswith("-"):
            continue
        words = tuple(_split(found[3]))
        yield Call(found[2], counts[found[1], found[2]], words, int(found[4], 0))


def _split(text: str) -> list[str]:
    """At the commas between arguments; strings are all hexadecimal, so none hides there."""
    words, depth, start = [], 0, 0
    for position, letter in enumerate(text):
        depth += letter in "[{("
        depth -= letter in "]})"
        if letter == "," and depth == 0:
            words.append(text[start:position].strip())
            start = position + 1
    return [*words, text[start:].strip()]


def decoded(word: str) -> bytes:
    """The bytes of one or more strings of strace -xx."""
    parts = []
    for text, cut in _TEXT.findall(word):
        assert not cut, "strace has cut a string"
        parts.append(bytes.fromhex(text.replace("\\x", "")))
    return b"".join(parts)
