"""A TCP proxy that can be cut and mended: the bad link between one device and its server."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

CHUNK_BYTES = 64 * 1024
ACCEPT_TIMEOUT_S = 0.2  # how soon a stopped proxy notices


class CutProxy:
    """Forwards 127.0.0.1:`port` to 127.0.0.1:`target`. While it is cut, connections are reset
    and new ones are refused, as with a cable pulled out of a router."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._whole = threading.Event()
        self._whole.set()
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(ACCEPT_TIMEOUT_S)
        self._thread = threading.Thread(target=self._accept, name="demo-proxy", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        self._whole.clear()
        with self._lock:
            pairs = tuple(self._pairs)
        for pair in pairs:
            self._drop(pair)

    def mend(self) -> None:
        self._whole.set()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            if not self._whole.is_set():
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:  # the server is down: the device sees what it would see without a proxy
                client.close()
                continue
            client.settimeout(None)
            server.settimeout(None)
            self._carry((client, server))

    def _carry(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._pairs.add(pair)
        for source, sink in (pair, pair[::-1]):
            threading.Thread(target=self._pump, args=(pair, source, sink), daemon=True).start()

    def _pump(
        self, pair: tuple[socket.socket, socket.socket], source: socket.socket, sink: socket.socket
    ) -> None:
        with suppress(OSError):  # either end went away: the pair is dropped below
            while chunk := source.recv(CHUNK_BYTES):
                sink.sendall(chunk)
        self._drop(pair)

    def _drop(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            with suppress(OSError):  # already shut down by its peer
                end.shutdown(socket.SHUT_RDWR)
            end.close()
