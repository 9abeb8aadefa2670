"""A blob out of one that is here and a delta: saves bytes where it can, and is never needed (agent 2.2).

Whatever is wrong with a delta, the full blob is fetched. Only a link that broke while the delta grew is
an error: the next attempt goes on with it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from limosa_agent.fetch.download import CONTENT_RANGE, Meter, appending
from limosa_agent.fetch.durable import DISK, Disk
from limosa_agent.fetch.errors import BudgetSpent, LengthMismatch, SourceRefused, TooSlow
from limosa_agent.fetch.limits import FetchLimits
from limosa_agent.fetch.paths import ModelPaths
from limosa_agent.fetch.slots import MANIFEST_FILE, read_current
from limosa_agent.fetch.source import Response, Source
from limosa_contracts.delta.errors import DeltaRefused
from limosa_contracts.delta.limits import WORKING_BYTES, DeltaLimits
from limosa_contracts.delta.wire import MEDIA_TYPE, DeltaHead
from limosa_contracts.errors import LimosaError, LinkLost, TransferError, Unreachable
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.oci import Descriptor, Manifest

RETRY_S: Final = 1.0  # between two questions for a delta that the server is making


@dataclass(slots=True)
class Savings:
    """How the blobs of one installation came."""

    deltas: int = 0
    saved_bytes: int = 0
    fallbacks: Counter[str] = field(default_factory=Counter)  # reason -> how often the full blob came

    def as_json(self, received: int) -> dict[str, JsonValue]:
        found: dict[str, JsonValue] = {"bytes": received, "way": "delta" if self.deltas else "full"}
        if self.deltas:
            found |= {"deltas": self.deltas, "saved_bytes": self.saved_bytes}
        if self.fallbacks:
            found["fallbacks"] = dict(sorted(self.fallbacks.items()))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A file of the release that is current."""

    path: Path
    sha256: str
    size: int


class _NoUse(Exception):
    """There is no delta, or it is of no use; `reason` goes into the update's event."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason: Final = reason


def bases_of(paths: ModelPaths) -> dict[str, Base]:
    """The files of the current release by name; none if it cannot be read."""
    sha = read_current(paths.folder)
    if sha is None:
        return {}
    folder = paths.release(sha)
    try:
        data = (folder / MANIFEST_FILE).read_bytes()[: LIMITS.manifest_max_bytes + 1]
        layers = Manifest.parse(data).layers
    except (OSError, LimosaError):
        return {}
    return {
        layer.filename: Base(path=folder / layer.filename, sha256=layer.sha256, size=layer.size)
        for layer in layers
    }


class DeltaDownload:
    """Makes the part of a blob complete without fetching the blob."""

    def __init__(
        self,
        source: Source,
        *,
        limits: FetchLimits,
        meter: Meter,
        savings: Savings,
        free_bytes: Callable[[], int],
        disk: Disk = DISK,
    ) -> None:
        self._source = source
        self._limits = limits
        self._meter = meter
        self._savings = savings
        self._free_bytes = free_bytes
        self._disk = disk

    def complete(self, url: str, layer: Descriptor, base: Base | None, *, part: Path, delta: Path) -> None:
        """`part` as long as the blob, if a delta gives it; else nothing, and the download does the rest.

        Raises BudgetSpent, DiskFull, and LinkLost, TooSlow or LengthMismatch if the delta came nearer.
        """
        if base is None or base.sha256 == layer.sha256 or not self._suits(layer, base):
            return
        if part.exists() and part.stat().st_size:
            return  # the full blob is on its way already
        if delta.exists() and not _size(delta):
            self._savings.fallbacks["ended_process"] += 1
            return
        try:
            total = self._fetch(f"{url}?from=sha256:{base.sha256}", layer, delta)
            self._apply(layer, base, part=part, delta=delta)
        except _NoUse as answer:
            self._savings.fallbacks[answer.reason] += 1
        else:
            self._savings.deltas += 1
            self._savings.saved_bytes += layer.size - total
        self._disk.remove(delta)

    def _suits(self, layer: Descriptor, base: Base) -> bool:
        need = base.size + 2 * layer.size + WORKING_BYTES
        return layer.size >= self._limits.delta_min_bytes and need <= self._limits.delta_memory_bytes

    def _fetch(self, url: str, layer: Descriptor, delta: Path) -> int:
        """Bytes of the delta, which is on disk then. Raises _NoUse, BudgetSpent, DiskFull, TransferError."""
        had = _size(delta)
        try:
            return self._ask(url, layer, delta)
        except BudgetSpent:
            raise
        except (LinkLost, TooSlow, LengthMismatch, Unreachable) as error:
            if _size(delta) > had:
                raise  # the next attempt goes on from here, so it ends some day
            raise _NoUse("link") from error
        except TransferError as error:
            raise _NoUse("refused") from error

    def _ask(self, url: str, layer: Descriptor, delta: Path) -> int:
        deadline = time.monotonic() + self._limits.delta_wait_s
        while True:
            self._meter.check()
            have = _size(delta)
            with self._source.open(url, budget_s=self._limits.blob_budget_s, start=have) as response:
                if response.status == 416 and have:
                    return have  # it may be whole; applying it decides
                if response.status != 503:
                    return self._store(response, layer, delta, have)
            if time.monotonic() >= deadline:
                raise _NoUse("not_ready")
            time.sleep(min(RETRY_S, self._limits.delta_wait_s))

    def _store(self, response: Response, layer: Descriptor, delta: Path, have: int) -> int:
        start, total = _extent(response, have)
        if total >= layer.size:
            raise _NoUse("too_large")
        if total - start + layer.size + self._limits.disk_reserve_bytes > self._free_bytes():
            raise _NoUse("disk")
        written = start
        with appending(delta, start) as file:
            for chunk in response.chunks():
                written += len(chunk)
                if written > total:
                    raise _NoUse("too_large")
                file.write(chunk)
                self._meter.moved(len(chunk))
                if written < total:
                    self._meter.check()
        if written < total:
            raise LengthMismatch("a delta was cut off", where=response.url, why=f"{written} of {total} bytes")
        return total

    def _apply(self, layer: Descriptor, base: Base, *, part: Path, delta: Path) -> None:
        """The digest of the signed manifest decides: the delta must announce it, and then give it."""
        try:
            from limosa_contracts.delta.applying import apply_delta  # numpy: only where there is a delta
        except ImportError as error:
            raise _NoUse("not_installed") from error
        limits = DeltaLimits(
            base_max_bytes=base.size,
            result_max_bytes=layer.size,
            delta_max_bytes=layer.size,
            working_max_bytes=WORKING_BYTES,
        )
        try:
            data = delta.read_bytes()
            # Should this process not outlive it, the next finds a delta of nothing and leaves it alone.
            self._disk.write(delta, b"")
            if DeltaHead.parse(data, limits).result_sha256 != layer.sha256:
                raise _NoUse("other_blob")
            result = apply_delta(base.path.read_bytes(), data, limits=limits)
        except DeltaRefused as error:
            raise _NoUse("damaged") from error
        except MemoryError as error:
            raise _NoUse("memory") from error
        except OSError as error:
            raise _NoUse("unreadable") from error
        with appending(part, 0) as file:
            file.write(result)


def _extent(response: Response, have: int) -> tuple[int, int]:
    """(first byte, bytes in all) of what comes. Raises _NoUse, SourceRefused."""
    if response.status not in (200, 206):
        raise _NoUse("none" if response.status == 404 else "refused")
    if response.content_type != MEDIA_TYPE:
        raise _NoUse("none")  # a server that knows no deltas sends the blob
    if response.status == 200 and response.length is not None:
        return 0, response.length
    found = CONTENT_RANGE.fullmatch(response.content_range)
    if found is None or found[3] == "*" or int(found[1]) != have or int(found[2]) + 1 != int(found[3]):
        raise SourceRefused("the server sends another range than asked", where=response.url)
    return have, int(found[3])


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
