"""The last predictions that had an id: what was answered, so that feedback finds it (telemetry 5.2).

A ring of fixed records in one buffer, in memory or in a file that is mapped into it: such a memory
survives its process, and two generations of one release share it. A record lost to a power cut, or to two
writers at once, is a piece of feedback that finds nothing; no more.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeAlias

from limosa_contracts.feedback import KPIS_MAX
from limosa_contracts.names import NAME

FILE: Final = "predictions"
MAGIC: Final = b"LIMOPRE1"
HEAD: Final = struct.Struct("<8sII")  # magic, records there is room for, the next record's number
NAME_BYTES: Final = 64
RECORD: Final = struct.Struct("<16sHBxHxx")  # key, class, bin of the confidence, what was said of it already
KEY_BYTES: Final = 16
NO_CLASS: Final = 0xFFFF
NO_BIN: Final = 0xFF
LABEL_BIT: Final = KPIS_MAX
_NAMES_AT: Final = HEAD.size
_RECORDS_AT: Final = HEAD.size + KPIS_MAX * NAME_BYTES
Buffer: TypeAlias = bytearray | mmap.mmap


@dataclass(frozen=True, slots=True)
class Remembered:
    """One answered row. `top` and `bin` are None where the model gave no probabilities."""

    at: int  # its place in the buffer
    top: int | None
    bin: int | None
    said: int  # bits: a KPI's number in `names`, or LABEL_BIT


class PredictionMemory:
    """Not thread-safe."""

    def __init__(self, buffer: Buffer) -> None:
        """`buffer`: as `open` or `in_memory` makes it."""
        self._buffer: Final = buffer
        _, self.size, _ = HEAD.unpack_from(buffer)
        self.names: Final = _read_names(buffer)

    @classmethod
    def in_memory(cls, size: int) -> Self:
        buffer = bytearray(_RECORDS_AT + size * RECORD.size)
        HEAD.pack_into(buffer, 0, MAGIC, size, 0)
        return cls(buffer)

    @classmethod
    def open(cls, path: Path, size: int) -> Self:
        """Raises OSError. A file that is none of ours, or of another size, begins anew."""
        path.parent.mkdir(parents=True, exist_ok=True)
        wanted = _RECORDS_AT + size * RECORD.size
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            if os.fstat(descriptor).st_size != wanted:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, bytes(wanted), 0)  # a full disk shows here, not as a SIGBUS later
            buffer = mmap.mmap(descriptor, wanted)
        finally:
            os.close(descriptor)
        magic, room, at = HEAD.unpack_from(buffer)
        if (magic, room) != (MAGIC, size) or at >= size:
            buffer[:] = bytes(wanted)
            HEAD.pack_into(buffer, 0, MAGIC, size, 0)
        return cls(buffer)

    def remember(self, ident: str, row: int, top: int | None, confidence_bin: int | None) -> None:
        """The oldest record makes room."""
        _, size, number = HEAD.unpack_from(self._buffer)
        RECORD.pack_into(
            self._buffer,
            _RECORDS_AT + number * RECORD.size,
            _key(ident, row),
            NO_CLASS if top is None else min(top, NO_CLASS - 1),
            NO_BIN if confidence_bin is None else confidence_bin,
            0,
        )
        HEAD.pack_into(self._buffer, 0, MAGIC, size, (number + 1) % size)

    def find(self, ident: str, row: int) -> Remembered | None:
        """The newest prediction of this id; None for one that is forgotten or was never made."""
        key = _key(ident, row)
        _, size, number = HEAD.unpack_from(self._buffer)
        begin, middle = _RECORDS_AT, _RECORDS_AT + number * RECORD.size
        end = _RECORDS_AT + size * RECORD.size
        for low, high in ((begin, middle), (middle, end)):
            at = self._buffer.rfind(key, low, high)
            while at >= 0:
                if (at - begin) % RECORD.size == 0:
                    _, top, place, said = RECORD.unpack_from(self._buffer, at)
                    return Remembered(
                        at, None if top == NO_CLASS else top, None if place == NO_BIN else place, said
                    )
                at = self._buffer.rfind(key, low, at + KEY_BYTES - 1)
        return None

    def mark(self, found: Remembered, bit: int) -> None:
        """Notes what was said of it, so that it is not counted twice."""
        key, top, place, said = RECORD.unpack_from(self._buffer, found.at)
        RECORD.pack_into(self._buffer, found.at, key, top, place, said | 1 << bit)

    def number_of(self, name: str) -> int | None:
        """A KPI's number, for ever; None where KPIS_MAX others have one."""
        if name in self.names:
            return self.names.index(name)
        if len(self.names) >= KPIS_MAX:
            return None
        at = _NAMES_AT + len(self.names) * NAME_BYTES
        self._buffer[at : at + NAME_BYTES] = name.encode().ljust(NAME_BYTES, b"\0")
        self.names.append(name)
        return len(self.names) - 1


def _key(ident: str, row: int) -> bytes:
    """Never all zeros in practice, as an empty record is."""
    return hashlib.blake2b(f"{row}\0{ident}".encode(), digest_size=KEY_BYTES).digest()


def _read_names(buffer: Buffer) -> list[str]:
    names: list[str] = []
    for number in range(KPIS_MAX):
        at = _NAMES_AT + number * NAME_BYTES
        name = bytes(buffer[at : at + NAME_BYTES]).rstrip(b"\0").decode("ascii", "replace")
        if not NAME.fullmatch(name):
            break
        names.append(name)
    return names
