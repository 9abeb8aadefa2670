"""Free TCP ports."""

from __future__ import annotations

import socket

from tests.support.waiting import wait_until


def free_port() -> int:
    """A loopback port that nobody listens on now. Prefer binding port 0 and asking, where one can."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def wait_for_port(port: int, *, timeout_s: float = 20, host: str = "127.0.0.1") -> None:
    wait_until(lambda: accepts(port, host), timeout_s=timeout_s, what=f"a listener on {host}:{port}")
