"""One request to an endpoint that listens on a Unix socket alone (agent 5.1)."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from typing import Final

from limosa_contracts.errors import LinkLost, Unreachable

TIMEOUT_S: Final = 20.0  # connecting, and between two reads, as over TCP


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def exchange_over_unix(
    path: str, method: str, target: str, *, body: bytes | None, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    """(status, body). Raises Unreachable where nobody listens, LinkLost where the answer did not come."""
    connection = _Connection(path)
    try:
        try:
            connection.connect()
        except PermissionError as error:
            hint = "this user must be in the group of the agent's user, or: the same with sudo"
            raise Unreachable(
                "the socket is not for this user", where=path, why=str(error), hint=hint
            ) from error
        except OSError as error:
            hint = "limosa-agent status"
            raise Unreachable(
                "nobody answers at the socket", where=path, why=str(error), hint=hint
            ) from error
        try:
            connection.request(method, target, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise LinkLost("the connection to the agent broke", where=path, why=str(error)) from error
    finally:
        connection.close()
