"""Where bytes come from: the server over HTTP or a mirror on a stick, with the same limits (trust 3.5)."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from limosa_agent.fetch.errors import LengthMismatch, SourceRefused
from limosa_agent.fetch.limits import FetchLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The head of an answer, and its body piece by piece. Statuses are those of HTTP."""

    url: str
    status: int
    length: int | None  # bytes of the body as announced
    content_range: str = ""
    content_type: str = ""  # without parameters
    body: Callable[[], Iterator[bytes]]

    def chunks(self) -> Iterator[bytes]:
        """Raises TooSlow, LinkLost. A body that ends early is noticed by who knows its length."""
        return self.body()


class Source(ABC):
    def __init__(self, limits: FetchLimits) -> None:
        self._limits = limits

    @abstractmethod
    def open(self, url: str, *, budget_s: float, start: int = 0) -> AbstractContextManager[Response]:
        """What is at `url`, from byte `start` on if that is not 0. The status is the caller's to judge.

        Raises TransferError.
        """

    def read(self, url: str, *, max_bytes: int) -> bytes:
        """A small document. Raises as `open`, SourceRefused, LengthMismatch."""
        with self.open(url, budget_s=self._limits.metadata_budget_s) as response:
            data = bytearray()
            for chunk in _bounded(response, max_bytes):
                data += chunk
            if response.length not in (None, len(data)):
                raise LengthMismatch(
                    "a document was cut off", where=url, why=f"{len(data)} of {response.length}"
                )
            return bytes(data)

    def save(self, url: str, path: Path, *, max_bytes: int) -> None:
        """A document of at most `max_bytes` into a file that is synced. Raises as `read`, OSError."""
        with self.open(url, budget_s=self._limits.blob_budget_s) as response, path.open("wb") as file:
            for chunk in _bounded(response, max_bytes):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())


def _bounded(response: Response, max_bytes: int) -> Iterator[bytes]:
    if response.status != 200:
        raise SourceRefused(
            "the server has no such document", where=response.url, why=f"HTTP {response.status}"
        )
    size = 0
    for chunk in response.chunks():
        size += len(chunk)
        if size > max_bytes:
            raise LengthMismatch(
                "a document does not end", where=response.url, why=f"limit {max_bytes} bytes"
            )
        yield chunk
