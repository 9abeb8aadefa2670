"""A small fleet whose devices answer requests: hour by hour their windows come in, and time passes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Self

from sqlalchemy import insert
from sqlmodel import col, select

from limosa_contracts.phases import Phase
from limosa_contracts.signing_keys import SigningKey
from limosa_contracts.window import LATENCY_EDGES_US
from limosa_server.tables.devices import Device, DeviceModel
from limosa_server.tables.judging import CohortRow
from limosa_server.tables.reports import WindowRow
from limosa_server.tables.rollouts import DecisionRow, DesiredDocument, WaveRow
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import MODEL, SmallFleet
from tests.support.postgresql import Cluster

HOUR_S = 3600.0
PER_HOUR = 40
COMPARED = {
    "waves": [
        {"name": "canary", "count": 20, "bake": "4h"},
        {"name": "rest", "bake": "4h"},
    ],
    "telemetry": {"report_every": "5m"},
    "timeouts": {"offer": "20h", "in_progress": "20h", "silence": "3h"},
    "abort": [{"threshold": 0.2}],
    "control": {"percent": 40},
}


def sqlite_in(folder: Path) -> Database:
    """For a fleet that several tests begin with a copy of."""

    def no_cluster() -> Cluster:
        raise AssertionError("these tests run on SQLite")

    return Database("sqlite", folder, no_cluster)


class ComparedFleet(SmallFleet):
    """`slower`: what the new version does to latency; `weather`: what the world does to everybody's.
    `told`: whether devices send windows at all.
    `dark`: devices that the new version kills in its trial."""

    def _open(self, place: Path | str, key: SigningKey) -> None:
        super()._open(place, key)
        self.random = random.Random(5)
        self.hours = 0
        self.slower = 1.0
        self.weather = 1.0
        self.errors = 0
        self.told = True
        self.dark: set[str] = set()

    @classmethod
    def with_a_past(cls, database: Database, *, devices: int = 80, hours: int = 3) -> Self:
        """Everybody has something to be compared with."""
        made = cls(database.place(), database.folder, devices=devices)
        for _ in range(hours):
            made.hour()
        return made

    def copy(self, database: Database) -> Self:
        other = super().copy(database)
        other.now, other.hours = self.now, self.hours
        return other

    def hour(self) -> None:
        """An hour of everybody's life: its updates at the beginning, its windows at the end."""
        for _ in range(2):
            self.controller.tick()
            for name in self._asked():
                self.answer(name)
        self.now += HOUR_S
        self.hours += 1
        if self.told:
            self._tell()
        self.controller.tick()

    def live_hours(self, rollout: int, *, most: int = 40) -> str:
        """Until it has ended or paused."""
        for _ in range(most):
            self.hour()
            status = self.row(rollout).status
            if status not in ("RUNNING", "VALIDATING", "ROLLING_BACK"):
                return status
        return self.row(rollout).status

    def answer(self, device: str) -> None:
        state = self.document(device)
        if device not in self.dark or state is None or state.models[0].version != "2.0.0":
            super().answer(device)
            return
        with self.store.transaction() as tx:
            self._report(tx, device, state, state.models[0], Phase.PROBATION, "1.0.0")
            tx.get_one(Device, device).online = False

    def _asked(self) -> list[str]:
        """Devices that have not answered their newest document."""
        with self.store.read() as tx:
            query = (
                select(Device.id)
                .join(DesiredDocument, col(DesiredDocument.device) == col(Device.id))
                .where(col(Device.desired_counter) < col(DesiredDocument.counter))
                .order_by(col(Device.id))
            )
            return list(tx.exec(query).all())

    def _tell(self) -> None:
        with self.store.transaction() as tx:
            models = tx.exec(select(DeviceModel).where(DeviceModel.model == MODEL)).all()
            tx.execute(
                insert(WindowRow),
                [self._window(one.device, one.active_version) for one in models if one.phase != "PROBATION"],
            )
            for device in tx.exec(select(Device).where(col(Device.online).is_(True))).all():
                device.last_seen = self.now

    def _window(self, device: str, version: str) -> dict[str, object]:
        new = version == "2.0.0"
        usual = 4000 + 400 * (int(device[1:]) % 20)
        latency = [0] * (len(LATENCY_EDGES_US) + 1)
        for _ in range(PER_HOUR):
            took = usual * self.weather * (self.slower if new else 1.0) * self.random.lognormvariate(0, 0.2)
            latency[sum(edge < took for edge in LATENCY_EDGES_US)] += 1
        return {
            "device": device,
            "boot": "b",
            "window_index": self.hours,
            "baseline": "1" * 16,
            "model_digest": version.ljust(16, "0"),
            "model": MODEL,
            "version": version,
            "rev": 1,
            "n": PER_HOUR,
            "started_at": self.now - HOUR_S,
            "length_s": HOUR_S,
            "received_at": self.now,
            "counters": {"errors": self.errors if new else 0, "refused": 0},
            "body": b"",
            "latency": latency,
            "classes": [PER_HOUR // 2, PER_HOUR // 2],
            "memory_bytes": 0,
        }

    def decisions(self, rollout: int, kind: str) -> list[DecisionRow]:
        with self.store.read() as tx:
            query = select(DecisionRow).where(DecisionRow.rollout == rollout, DecisionRow.kind == kind)
            return list(tx.exec(query.order_by(col(DecisionRow.id))).all())

    def waves(self, rollout: int) -> list[WaveRow]:
        with self.store.read() as tx:
            query = select(WaveRow).where(WaveRow.rollout == rollout).order_by(col(WaveRow.index))
            return list(tx.exec(query).all())

    def cohort(self, rollout: int, wave: int, arm: str) -> set[str]:
        with self.store.read() as tx:
            query = select(CohortRow.device).where(
                CohortRow.rollout == rollout, CohortRow.wave == wave, CohortRow.arm == arm
            )
            return set(tx.exec(query).all())
