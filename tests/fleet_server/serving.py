"""An application behind a real socket, in a thread of the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from fastapi import FastAPI

from tests.support.waiting import wait_until


@contextmanager
def served(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of the application; both are gone afterwards."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started, timeout_s=20, what="the application answers")
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            # It speaks no TLS: what the machine trusts need not be read for each test.
            with httpx.Client(base_url=url, verify=False, trust_env=False, timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(10)
