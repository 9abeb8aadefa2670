"""An HTTP proxy that opens tunnels to this machine, whatever host is asked for, and remembers what was."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass(slots=True)
class ConnectProxy:
    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    silent: bool = False  # accepts, and says nothing
    heads: list[str] = field(default_factory=list)  # what clients asked, in order
    url: str = ""


@contextmanager
def connect_proxy() -> Iterator[ConnectProxy]:
    """Listens on a free loopback port until the end of the block."""
    state = ConnectProxy()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        state.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        stopping = threading.Event()
        accepting = threading.Thread(target=_accept, args=(listener, state, stopping))
        accepting.start()
        try:
            yield state
        finally:
            stopping.set()
            with suppress(OSError):
                socket.create_connection(listener.getsockname(), timeout=1).close()
            accepting.join()


def _accept(listener: socket.socket, state: ConnectProxy, stopping: threading.Event) -> None:
    while not stopping.is_set():
        client, _ = listener.accept()
        threading.Thread(target=_serve, args=(client, state, stopping), daemon=True).start()


def _serve(client: socket.socket, state: ConnectProxy, stopping: threading.Event) -> None:
    with client, suppress(OSError):  # a client that goes, goes
        head = bytearray()
        while not head.endswith(b"\r\n\r\n"):
            byte = client.recv(1)
            if not byte:
                return
            head += byte
        state.heads.append(head.decode())
        if state.silent:
            stopping.wait(30)
            return
        client.sendall(state.answer)
        if b" 200 " not in state.answer:
            return
        port = int(head.split()[1].rpartition(b":")[2])
        with socket.create_connection(("127.0.0.1", port)) as server:
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
