"""What the workers and applications counted, on its way into windows and probations (telemetry 3)."""

from __future__ import annotations

import logging
import time
from typing import Final

from limosa_agent.health.facts import Observed
from limosa_agent.health.probation import observed
from limosa_agent.health.tally import Tally
from limosa_agent.link.outbox import Outbox
from limosa_agent.link.outbox_bound import window_key
from limosa_agent.serving.slot_ref import Observation
from limosa_agent.store.state_db import StateDb
from limosa_agent.telemetry.instance_message import InstanceMessage
from limosa_agent.telemetry.instances import Instances, ReleaseShape
from limosa_agent.telemetry.windows import Snapshot, WindowBook
from limosa_contracts.errors import LimosaError
from limosa_contracts.window import Window

log = logging.getLogger(__name__)

KEEP_EVERY_S: Final = 60.0  # open windows are on disk this often, so that a crash loses little (3.3)


class Telemetry:
    def __init__(self, db: StateDb, outbox: Outbox, *, device: str, boot: str) -> None:
        self._db = db
        self._outbox = outbox
        self._book = WindowBook(device=device, boot=boot)
        self._reported_s = self._kept_s = time.monotonic()
        self._tallies: dict[tuple[str, str], Tally] = {}  # (model, manifest)
        self._instances = Instances()
        self.versions: dict[str, str] = {}  # manifest -> version, also of what no longer serves
        self._send_leftovers()

    def observe(self, event: Observation, *, version: str, clock: str, at: float) -> Observed | None:
        """None for a snapshot that cannot be read: then it is not counted."""
        try:
            snapshot = Snapshot.parse(event.snapshot)
        except LimosaError:
            return None
        self.versions[event.manifest_sha256] = version
        closed = self._book.observe(
            model=event.model,
            version=version,
            manifest_sha256=event.manifest_sha256,
            generation=event.generation,
            snapshot=snapshot,
            clock=clock,
            mono_s=time.monotonic(),
            at=at,
        )
        self._put(closed)
        return self.note(
            event.model, observed(event.manifest_sha256, snapshot, event.snapshot), event.generation
        )

    def note(self, model: str, seen: Observed, generation: int) -> Observed:
        """What a worker did, without its windows; what the applications did is added to it."""
        tally = self._tally(model, seen.manifest_sha256)
        tally.from_worker(seen, generation=generation)
        return tally.total

    def hear(
        self, message: InstanceMessage, shape: ReleaseShape, *, generation: int | None, clock: str, at: float
    ) -> Observed:
        """What an application's own instance did. `generation`: of the worker that serves this digest.

        Raises InvalidField; nothing is counted then.
        """
        fresh = self._instances.take(message, shape, at_s=time.monotonic())
        closed = self._book.add(
            model=message.model,
            version=shape.version,
            manifest_sha256=message.manifest_sha256,
            fresh=fresh,
            clock=clock,
            mono_s=time.monotonic(),
            at=at,
        )
        self._put(closed)
        tally = self._tally(message.model, message.manifest_sha256)
        if generation is not None:
            tally.serve(generation)
        tally.from_application(observed(message.manifest_sha256, fresh, {}))
        return tally.total

    def seen(self, model: str, manifest_sha256: str) -> Observed | None:
        """What this digest did since the worker loaded it last, applications included."""
        tally = self._tallies.get((model, manifest_sha256))
        return tally.total if tally is not None else None

    def _tally(self, model: str, manifest_sha256: str) -> Tally:
        return self._tallies.setdefault((model, manifest_sha256), Tally.begin(manifest_sha256))

    def tick(self, *, every_s: float, in_probation: bool) -> None:
        """The revs that are due, and the copies against a crash."""
        now = time.monotonic()
        if now - self._reported_s >= every_s:
            self._reported_s = now
            self._put(self._book.due(in_probation=in_probation))
        if now - self._kept_s >= KEEP_EVERY_S:
            self._kept_s = now
            self._keep(self._book.open_windows())

    def stop_serving(self, model: str, manifest_sha256: str) -> None:
        self._put(self._book.stop_serving(model, manifest_sha256))

    def flush(self) -> None:
        """The agent stops: everything that was counted goes into the outbox."""
        self._put(self._book.due(in_probation=True))
        self._keep([])

    def _put(self, windows: list[Window]) -> None:
        for window in windows:
            self._outbox.put_window(window)

    def _keep(self, windows: list[Window]) -> None:
        with self._db.transaction("open windows") as connection:
            connection.execute("DELETE FROM open_windows")
            connection.executemany(
                "INSERT INTO open_windows VALUES (?, ?)",
                [(window_key(window), window.encode()) for window in windows],
            )

    def _send_leftovers(self) -> None:
        """Windows of a start that ended in a crash: as far as they were kept, they count."""
        rows = self._db.query("SELECT payload FROM open_windows")
        with self._db.transaction("leftover windows"):
            for (payload,) in rows:
                assert isinstance(payload, bytes)
                try:
                    self._outbox.put_window(Window.parse(payload))
                except LimosaError as error:  # another version of the agent wrote it
                    log.warning("a window that was kept cannot be read: %s", error)
            self._keep([])
