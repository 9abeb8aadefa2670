"""What the server's database says: the demo believes nothing else (read-only, beside the server)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from limosa_contracts.json_value import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An update event that the server committed. `at` is Unix seconds by the device's clock."""

    id: int
    kind: str  # update | health | alarm
    device: str
    version: str
    rollout: str
    phase: str
    code: str
    reason: str
    at: float
    evidence: JsonObject


@dataclass(frozen=True, slots=True)
class Ledger:
    database: Path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)) as connection:
            yield connection

    def rollout(self, number: int) -> tuple[str, str]:
        """(status, reason)."""
        with self._open() as db:
            row = db.execute("SELECT status, reason FROM rollouts WHERE id = ?", (number,)).fetchone()
        return (str(row[0]), str(row[1]))

    def waves(self, number: int) -> list[tuple[str, str, str]]:
        """(name, status, reason) in order."""
        with self._open() as db:
            rows = db.execute(
                'SELECT name, status, reason FROM waves WHERE rollout = ? ORDER BY "index"', (number,)
            ).fetchall()
        return [(str(name), str(status), str(reason)) for name, status, reason in rows]

    def executions(self, number: int) -> dict[str, str]:
        """Device -> state."""
        with self._open() as db:
            rows = db.execute("SELECT device, state FROM executions WHERE rollout = ?", (number,)).fetchall()
        return {str(device): str(state) for device, state in rows}

    def running(self, model: str) -> dict[str, str]:
        """Device -> version that it reports running and committed."""
        with self._open() as db:
            rows = db.execute(
                "SELECT device, active_version FROM device_models WHERE model = ?", (model,)
            ).fetchall()
        return {str(device): str(version) for device, version in rows}

    def events(self, *, after: int = 0) -> list[Event]:
        with self._open() as db:
            rows = db.execute(
                "SELECT id, kind, device, version, rollout, phase, reason_code, reason, at, body FROM events"
                " WHERE id > ? ORDER BY id",
                (after,),
            ).fetchall()
        return [
            Event(
                id=row[0],
                kind=row[1],
                device=row[2],
                version=row[3],
                rollout=row[4],
                phase=row[5],
                code=row[6],
                reason=row[7],
                at=row[8],
                evidence=json.loads(row[9]).get("reason", {}).get("evidence", {}),
            )
            for row in rows
        ]

    def reports_of(self, device: str) -> int:
        """Events and windows of one device that are committed."""
        with self._open() as db:
            events = db.execute("SELECT count(*) FROM events WHERE device = ?", (device,)).fetchone()[0]
            windows = db.execute(
                "SELECT coalesce(sum(rev), 0) FROM windows WHERE device = ?", (device,)
            ).fetchone()[0]
        return int(events) + int(windows)
