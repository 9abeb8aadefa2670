"""The one form of tar an artifact is written in and read from (compiler 6.2, trust 7.1).

Not `tarfile` for reading: what it understands beyond this (links, sparse files, long-name and pax
records) is what a hostile archive is made of.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from limosa_contracts.errors import InvalidArtifact

BLOCK_BYTES: Final = 512
END: Final = b"\0" * (2 * BLOCK_BYTES)
_FILE_TYPES: Final = (b"0", b"\0")
_FOLDER_TYPE: Final = b"5"
_MAGICS: Final = (b"ustar\x0000", b"ustar  \0")  # POSIX, and as GNU tar writes short names


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    name: str
    size: int  # bytes
    is_file: bool
    is_folder: bool


def header(name: str, *, size: int, mtime: int) -> bytes:
    """512 bytes: owner 0, mode 0644, `mtime` in Unix seconds."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, mtime, 0o644
    return info.tobuf(format=tarfile.USTAR_FORMAT)


def mtime_of(path: Path) -> int:
    """Unix seconds of the archive's first member, 0 if it says none. Raises OSError."""
    with path.open("rb") as stream:
        text = stream.read(BLOCK_BYTES)[136:148].strip(b"\0 ")
    return int(text, 8) if text and not text.strip(b"01234567") else 0


def padding(size: int) -> bytes:
    """
    >>> len(padding(500)), len(padding(1024))
    (12, 0)
    """
    return b"\0" * (-size % BLOCK_BYTES)


def read_members(stream: BinaryIO) -> Iterator[tuple[Member, bytes]]:
    """Members with their bytes, until the end mark. Raises InvalidArtifact; `stream` must be seekable.

    A size is believed only as far as the stream goes, so memory is bounded by the stream's length.
    """
    total = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    while True:
        block = stream.read(BLOCK_BYTES)
        if block == END[:BLOCK_BYTES]:
            return
        if len(block) < BLOCK_BYTES:
            raise InvalidArtifact("the archive is cut short", why="it has no end mark")
        member = _parse_header(block)
        padded = member.size + len(padding(member.size))
        if padded > total - stream.tell():
            raise InvalidArtifact("the archive is cut short", where=repr(member.name[:120]))
        yield member, stream.read(padded)[: member.size]


def _parse_header(block: bytes) -> Member:
    if block[257:265] not in _MAGICS:
        raise InvalidArtifact("this is not an archive", why="a header is not that of a ustar member")
    if _octal(block[148:156]) != sum(block[:148]) + 8 * 0x20 + sum(block[156:]):
        raise InvalidArtifact("the archive is damaged", why="a header does not have its checksum")
    if block[257:265] == _MAGICS[0] and block[345:500].strip(b"\0"):
        raise InvalidArtifact("an archive's member has too long a name", why="it uses a prefix")
    name = block[:100].rstrip(b"\0").decode("ascii", errors="replace")
    kind = block[156:157]
    return Member(
        name=name,
        size=_octal(block[124:136]),
        is_file=kind in _FILE_TYPES,
        is_folder=kind == _FOLDER_TYPE,
    )


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits or any(digit not in b"01234567" for digit in digits):
        raise InvalidArtifact("the archive is damaged", why="a header holds a number that is none")
    return int(digits, 8)
