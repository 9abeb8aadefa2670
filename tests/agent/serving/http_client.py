"""A small HTTP client of the tests: says exactly what it sends, and what came back."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # tests index into whatever came
        return json.loads(self.body)

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int, *, timeout_s: float = 15) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self._stream = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> Answer:
        """The next answer. Raises ConnectionError if the connection ends first."""
        line = self._stream.readline()
        if not line:
            raise ConnectionResetError("closed without an answer")
        status = int(line.split()[1])
        headers: dict[str, str] = {}
        while (line := self._stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        body = self._stream.read(int(headers.get("content-length", "0")))
        return Answer(status, headers, body)

    def at_end(self) -> bool:
        """Whether the server has closed its side; waits for it."""
        return self._stream.read(1) == b""

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        self.send(request(method, path, body, headers))
        return self.receive()

    def infer(self, model: str, value: object, headers: Mapping[str, str] | None = None) -> Answer:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("POST", f"/v2/models/{model}/infer", body, headers)


def request(method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    fields = {"Host": "device", "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def row(*values: float, name: str = "x", **parameters: object) -> dict[str, object]:
    """An inference request of one FP32 row."""
    tensor = {"name": name, "datatype": "FP32", "shape": [1, len(values)], "data": list(values)}
    return {"inputs": [tensor], **parameters}


def binary(head: Mapping[str, object], tail: bytes) -> tuple[bytes, dict[str, str]]:
    text = json.dumps(head).encode()
    return text + tail, {"Inference-Header-Content-Length": str(len(text))}
