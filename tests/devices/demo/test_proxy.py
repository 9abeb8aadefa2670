"""The bad link of the demo: cut in the middle, mended later."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from limosa_devices.demo.proxy import CutProxy


@pytest.fixture
def echo() -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()
    listener.settimeout(0.1)

    def carry(peer: socket.socket) -> None:
        with peer:
            while chunk := peer.recv(1024):
                peer.sendall(chunk)

    def accept() -> None:
        while not stopped.is_set():
            try:
                peer, _ = listener.accept()
            except TimeoutError:
                continue
            peer.settimeout(5)
            threading.Thread(target=carry, args=(peer,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    yield int(listener.getsockname()[1])
    stopped.set()
    thread.join()
    listener.close()


def test_a_cut_link_breaks_what_is_open_refuses_what_is_new_and_carries_again_when_mended(echo: int) -> None:
    proxy = CutProxy(echo)
    try:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as link:
            link.sendall(b"before")
            assert link.recv(16) == b"before"
            proxy.cut()
            assert _closed(link)
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as link:
            assert _closed(link)
        proxy.mend()
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as link:
            link.sendall(b"after")
            assert link.recv(16) == b"after"
    finally:
        proxy.stop()


def _closed(link: socket.socket) -> bool:
    try:
        return link.recv(16) == b""
    except ConnectionError:
        return True
