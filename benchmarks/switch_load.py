"""Continuous load for `agent_switch.py`, in a process of its own: keep-alive clients, one record per request.

`python benchmarks/switch_load.py PORT FILE CLIENTS PAUSE_MS VALUE`: asks until its stdin ends.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

LISTENS: Final = "127.0.0.1"
RECORD: Final = struct.Struct("<qqq")  # begun and ended (monotonic ns), number of the version; 0: failed
MODEL: Final = "demo/tiny"


@dataclass(frozen=True, slots=True)
class Requests:
    """All requests of one load, by their end."""

    began: npt.NDArray[np.int64]
    ended: npt.NDArray[np.int64]
    version: npt.NDArray[np.int64]  # 0: no answer, or another status than 200

    @classmethod
    def read(cls, path: Path) -> Requests:
        table = np.frombuffer(path.read_bytes(), np.int64).reshape(-1, 3)
        table = table[np.argsort(table[:, 1], kind="stable")]
        return cls(table[:, 0], table[:, 1], table[:, 2])

    def failed(self) -> int:
        return int((self.version == 0).sum())

    def spent_ms(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        times: npt.NDArray[np.float64] = (self.ended - self.began)[chosen] / 1e6
        return times

    def within(self, begin_ns: int, end_ns: int) -> npt.NDArray[np.bool_]:
        """Those that were on their way at some time between the two."""
        within: npt.NDArray[np.bool_] = (self.ended >= begin_ns) & (self.began <= end_ns)
        return within

    def first_answer_ns(self, version: int, since_ns: int) -> int:
        """When the first answer of `version` came to a request that was sent after `since_ns`."""
        found = np.flatnonzero((self.version == version) & (self.began >= since_ns))
        if not found.size:
            raise LookupError(f"version {version} never answered again")
        return int(self.ended[found[0]])


def version_number(text: str) -> int:
    """
    >>> version_number("1.2.3")
    1002003
    """
    major, minor, patch = (int(part) for part in text.split("."))
    return (major * 1000 + minor) * 1000 + patch


def message(value: float) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [value] * 3}
    body = json.dumps({"inputs": [tensor]}).encode()
    head = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: d\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bool]:
    """(number of the version that answered or 0, whether the server closes). Raises OSError, EOFError."""
    writer.write(request)
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length"))
    answer = json.loads(await reader.readexactly(length))
    good = int(lines[0].split()[1]) == 200
    return version_number(answer["model_version"]) if good else 0, "connection: close" in lines


async def _client(port: int, request: bytes, pause_s: float, out: BinaryIO, ended: asyncio.Event) -> None:
    reader, writer = await asyncio.open_connection(LISTENS, port)
    while not ended.is_set():
        began = time.monotonic_ns()
        try:
            version, closes = await ask(reader, writer, request)
        except (OSError, EOFError):
            version, closes = 0, True
        out.write(RECORD.pack(began, time.monotonic_ns(), version))
        if closes:
            writer.close()
            reader, writer = await asyncio.open_connection(LISTENS, port)
        if pause_s:
            await asyncio.sleep(pause_s)
    writer.close()


async def _load(port: int, path: Path, clients: int, pause_s: float, value: float) -> None:
    ended = asyncio.Event()
    request = message(value)
    with path.open("wb") as out:
        tasks = [asyncio.create_task(_client(port, request, pause_s, out, ended)) for _ in range(clients)]
        sys.stdout.write("running\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        ended.set()
        await asyncio.gather(*tasks)


if __name__ == "__main__":
    port, path, clients, pause_ms, value = sys.argv[1:]
    asyncio.run(_load(int(port), Path(path), int(clients), float(pause_ms) / 1000, float(value)))
