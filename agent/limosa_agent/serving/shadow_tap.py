"""The serving worker's side of shadowing: copies go out where there is room, and nothing ever waits.

The way is one pair of sockets with whole messages (SOCK_SEQPACKET), made by the pool and inherited by
every generation and every shadow worker. What the kernel holds of it is the bounded queue. Messages too
large for it travel in a memory file whose descriptor is sent, and only while the queue is empty.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from limosa_agent.serving.loaded_model import LoadedModel
from limosa_agent.serving.shadow_copy import CopyWriter, Piece
from limosa_agent.serving.tensor_codec import Array

INLINE_SHARE: Final = 4  # a message larger than this part of the queue travels in a memory file


class ShadowTap:
    """Copies of what the active models were asked and answered."""

    def __init__(self, end: socket.socket, *, generation: int, copy_max_bytes: int) -> None:
        """`copy_max_bytes`: a request and its answer larger than this are dropped."""
        self._end: Final = end
        self._generation: Final = generation
        self._copy_max_bytes: Final = copy_max_bytes
        self._inline_max_bytes: Final = end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // INLINE_SHARE
        self.dropped = 0
        self.given = 0

    def open(self, models: Sequence[LoadedModel], wanted: Sequence[str]) -> None:
        """From now on copies of the wanted models are given, and of no others."""
        for loaded in models:
            slot = loaded.slot
            writer = CopyWriter(model=slot.model, active=slot.manifest_sha256, generation=self._generation)
            loaded.observations.listen(self._listener(writer) if slot.model in wanted else None)

    def _listener(self, writer: CopyWriter) -> Callable[[Mapping[str, Array], Mapping[str, Array]], None]:
        loop = asyncio.get_running_loop()

        def listen(inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
            # In a turn of the loop of its own: the answer is on its way first.
            loop.call_soon(partial(self.give, writer, inputs, outputs))

        return listen

    def give(self, writer: CopyWriter, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        pieces = writer.pieces(inputs, outputs, dropped=self.dropped)
        size = sum(map(len, pieces))
        try:
            if size <= self._inline_max_bytes:
                self._end.sendmsg(pieces, [], socket.MSG_DONTWAIT)
            elif size <= self._copy_max_bytes and not self._waiting():
                self._send_large(pieces)
            else:
                self.dropped += 1
                return
        except OSError:  # no room, or nobody who reads
            self.dropped += 1
            return
        self.given += 1

    def _waiting(self) -> bool:
        """Whether the shadow has not yet taken all that was given."""
        queued: bytes = fcntl.ioctl(self._end, termios.TIOCOUTQ, struct.pack("i", 0))
        return queued != bytes(len(queued))

    def _send_large(self, pieces: Sequence[Piece]) -> None:
        descriptor = os.memfd_create("limosa-copy", os.MFD_CLOEXEC)
        try:
            os.writev(descriptor, pieces)
            rights = struct.pack("i", descriptor)
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
            self._end.sendmsg([b"f"], control, socket.MSG_DONTWAIT)
        finally:
            os.close(descriptor)
