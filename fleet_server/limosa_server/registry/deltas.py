"""Deltas between blobs: made on demand, one at a time, in a limited process; kept on disk (server 5).

`folder/<base>-<new>-<its own sha256>.limosadelta`. Whether a delta is right is decided by the device,
which knows the digest of the result; a file that rotted costs it one download more.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import subprocess
import sys
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from limosa_server.files import sync_folder
from limosa_server.metrics import Metrics
from limosa_server.registry.blobs import Blobs
from limosa_server.registry.delta_worker import NONE_PAYS
from limosa_server.settings import DeltaSettings

log = logging.getLogger(__name__)
SUFFIX: Final = ".limosadelta"
_NAME: Final = re.compile(r"([0-9a-f]{64})-([0-9a-f]{64})-([0-9a-f]{64})\.limosadelta")
Key = tuple[str, str]
"""sha256 of the base and of the new blob."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    path: Path
    sha256: str
    size: int


class Deltas:
    """Thread-safe. `find` is quick, `make` queues; a pair that does not pay is not tried again."""

    def __init__(self, folder: Path, blobs: Blobs, metrics: Metrics, settings: DeltaSettings) -> None:
        self._folder = folder
        self._blobs = blobs
        self._metrics = metrics
        self.settings = settings
        self._lock = threading.Lock()
        self._ready: OrderedDict[Key, Delta] = OrderedDict()  # the one used last is last
        self._making: dict[Key, Future[Delta | None]] = {}
        self._not_worth: OrderedDict[Key, None] = OrderedDict()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="delta")
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = False
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._look_around()

    def find(self, base: str, new: str) -> Delta | None:
        """The delta, if it is on disk."""
        with self._lock:
            delta = self._ready.get((base, new))
            if delta is None or not delta.path.exists():
                self._ready.pop((base, new), None)
                return None
            self._ready.move_to_end((base, new))
        with suppress(OSError):
            os.utime(delta.path)  # the order of use outlives the process
        self._metrics.deltas.labels(result="cached").inc()
        return delta

    def size_of(self, base: str, new: str) -> int | None:
        """Bytes of the delta if it is on disk; nothing counts as asked for."""
        with self._lock:
            delta = self._ready.get((base, new))
        return None if delta is None else delta.size

    def make(self, base: str, new: str) -> Future[Delta | None] | None:
        """The delta to be; None if it is known not to pay, or too many are in line."""
        key = (base, new)
        with self._lock:
            if key in self._making:
                return self._making[key]
            ready = self._ready.get(key)
            if ready is not None and ready.path.exists():  # it was finished after the caller's `find`
                future: Future[Delta | None] = Future()
                future.set_result(ready)
                return future
            if self._stopped or key in self._not_worth or not self._sizes_fit(base, new):
                return None
            if len(self._making) >= self.settings.waiting_max:
                self._metrics.deltas.labels(result="refused").inc()
                return None
            future = self._worker.submit(self._make, key)
            self._making[key] = future
            return future

    def drop_strangers(self, alive: frozenset[str]) -> int:
        """Removes deltas from or to a blob that is gone; bytes freed."""
        with self._lock:
            gone = [key for key in self._ready if not alive.issuperset(key)]
            freed = 0
            for key in gone:
                delta = self._ready.pop(key)
                freed += delta.size
                delta.path.unlink(missing_ok=True)
        return freed

    def stop(self) -> None:
        """Ends the worker; nothing half-made is left under a name that counts."""
        with self._lock:
            self._stopped = True
            child = self._child
        if child is not None:
            child.kill()
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _sizes_fit(self, base: str, new: str) -> bool:
        sizes = [self._blobs.size(base) or 0, self._blobs.size(new) or 0]
        return sizes[1] >= self.settings.blob_min_bytes and max(sizes) <= self.settings.blob_max_bytes

    def _make(self, key: Key) -> Delta | None:
        part = self._folder / f"{key[0]}-{key[1]}.part"
        delta, result = None, "failed"
        try:
            delta, result = self._from_worker(key, part)
        except OSError as error:
            log.warning("a delta could not be made: %s", error)
        finally:
            part.unlink(missing_ok=True)
            with self._lock:
                self._making.pop(key, None)
                if delta is not None:
                    self._ready[key] = delta
                elif not self._stopped:
                    self._not_worth[key] = None
                    while len(self._not_worth) > self.settings.not_worth_max:
                        self._not_worth.popitem(last=False)
            self._metrics.deltas.labels(result=result).inc()
        self._make_room()
        return delta

    def _from_worker(self, key: Key, part: Path) -> tuple[Delta | None, str]:
        code = self._run(key, part)
        if code == NONE_PAYS:
            return None, "not_worth"
        if code != 0:
            return None, "failed"
        data = part.read_bytes()
        whole = self._blobs.size(key[1]) or 0
        if len(data) > self.settings.share_max * whole:
            return None, "not_worth"
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._folder / f"{key[0]}-{key[1]}-{sha256}{SUFFIX}"
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(self._folder)
        return Delta(path=path, sha256=sha256, size=len(data)), "made"

    def _run(self, key: Key, part: Path) -> int:
        limits = self.settings
        child = subprocess.Popen(
            [
                sys.executable, "-m", "limosa_server.registry.delta_worker",
                *(str(self._blobs.path(sha256)) for sha256 in key), str(part),
                str(limits.make_memory_bytes), str(int(limits.make_s)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        with self._lock:
            self._child = child
            if self._stopped:
                child.kill()
        try:
            return child.wait(limits.make_s)
        except subprocess.TimeoutExpired:
            log.warning("a delta took more than %.0f s", limits.make_s)
            child.kill()
            return child.wait()
        finally:
            with self._lock:
                self._child = None

    def _look_around(self) -> None:
        """What an earlier process left: whole deltas are kept, in the order in which they were used."""
        found: list[tuple[float, Key, Delta]] = []
        for path in self._folder.iterdir():
            name = _NAME.fullmatch(path.name)
            if name is None:
                path.unlink(missing_ok=True)
                continue
            facts = path.stat()
            delta = Delta(path=path, sha256=name[3], size=facts.st_size)
            found.append((facts.st_mtime, (name[1], name[2]), delta))
        for _, key, delta in sorted(found, key=lambda item: (item[0], item[1])):
            self._ready[key] = delta
        self._make_room()

    def _make_room(self) -> None:
        with self._lock:
            total = sum(delta.size for delta in self._ready.values())
            while total > self.settings.cache_max_bytes and self._ready:
                _, oldest = self._ready.popitem(last=False)
                total -= oldest.size
                oldest.path.unlink(missing_ok=True)
