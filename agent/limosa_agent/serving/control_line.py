"""JSON lines over one end of a socket pair: supervisor and worker."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Final, Self, cast

from limosa_contracts.json_value import JsonObject

LINE_MAX_BYTES: Final = 8 * 1024 * 1024  # one message; 32 features x 32 bins of 32 models are far below


class ControlLine:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader: Final = reader
        self._writer: Final = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Self:
        end.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=end, limit=LINE_MAX_BYTES))

    async def send(self, message: JsonObject) -> None:
        """Returns when it is on its way; a peer that is gone shows in `receive`, not here."""
        self.post(message)
        try:
            await self._writer.drain()
        except ConnectionError:
            return

    def post(self, message: JsonObject) -> None:
        """The same at once, without waiting for a full pipe."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def receive(self) -> JsonObject | None:
        """The next message; None when the peer has ended, or says what is no message."""
        try:
            line = await self._reader.readline()
            value = json.loads(line) if line.endswith(b"\n") else None
        except (ConnectionError, ValueError):
            return None
        return cast("JsonObject", value) if isinstance(value, dict) else None

    def close(self) -> None:
        self._writer.close()
