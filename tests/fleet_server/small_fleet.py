"""A real database with devices and releases in it, and a controller over it; devices answer by reports."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sqlmodel import col, select

from limosa_contracts.desired import PAYLOAD_TYPE, DesiredModel, DesiredState
from limosa_contracts.dsse import Envelope
from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.phases import Phase
from limosa_contracts.reported import Installed, Reported, ReportedModel
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_server.deploy.check_counters import check_counters
from limosa_server.fleet import groups
from limosa_server.registry.blobs import Blobs
from limosa_server.rollouts import rollout_plan, rollout_start
from limosa_server.rollouts.controller import Controller
from limosa_server.rollouts.rollout_ingest import on_reports
from limosa_server.store import Store, Transaction
from limosa_server.store.engine import make_engine
from limosa_server.tables.devices import Device, DeviceLabel, DeviceModel
from limosa_server.tables.releases import Release, Variant
from limosa_server.tables.rollouts import DesiredDocument, ExecutionRow, RolloutRow
from limosa_server.trust.director import Director
from tests.fleet_server.databases import Database

MODEL = "demo/motion"


class Killed(BaseException):
    """The process died here."""


def index_of(version: str) -> str:
    return hashlib.sha256(f"{MODEL}@{version}".encode()).hexdigest()


def installed(version: str) -> Installed | None:
    if not version:
        return None
    return Installed(version=version, index_sha256=index_of(version), manifest_sha256=index_of(version))


class MortalStore(Store):
    """Dies just before or just after the n-th commit, counted from `arm`; or shows what a kill would leave
    there, at each commit from `watch` on, and lives."""

    left: int = -1
    before: bool = True
    look: Callable[[], None] | None = None

    def arm(self, commits: int, *, before: bool) -> None:
        self.left, self.before = commits, before

    def watch(self, look: Callable[[], None] | None, *, before: bool = True) -> None:
        self.look, self.before = look, before

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        # PostgreSQL copies a database that nobody is connected to: one that holds nothing of this yet.
        at_begin = self.kind == "postgresql"
        if self.look is not None and self.before and at_begin:
            self.look()
        with super().transaction() as tx:
            yield tx
            if self.look is not None and self.before and not at_begin:
                self.look()
            self.left -= 1
            if self.left == 0 and self.before:
                raise Killed
        if self.look is not None and not self.before:
            self.look()
        if self.left == 0:
            raise Killed


class SmallFleet:
    """Devices `d0` … in the group `all`; bad ones fall back on version 2.0.0."""

    def __init__(self, place: Path | str, folder: Path, *, devices: int = 4, running: str = "1.0.0") -> None:
        """`place`: what `Store.open` takes; `folder`: for the blobs."""
        self.folder = folder
        self._open(place, SigningKey.generate(Algorithm.ED25519))
        with self.store.transaction() as tx:
            for i in range(devices):
                self._add_device(tx, f"d{i}", running)
            for counter, version in enumerate(("1.0.0", "2.0.0", "3.0.0"), start=1):
                self._add_release(tx, version, counter)
            tx.flush()
            groups.create(tx, "all", selector=None, description="", now=self.now, actor="test")
            groups.join(tx, "all", [f"d{i}" for i in range(devices)], now=self.now)

    def _open(self, place: Path | str, key: SigningKey) -> None:
        self.place, self.key = place, key
        self.now = 1_700_000_000.0
        self.epoch = 1
        self.bad: set[str] = set()
        self.offline: set[str] = set()
        # A copy has its schema already.
        self.store = (
            MortalStore(make_engine(place, busy_timeout_s=15.0), busy_timeout_s=15.0)
            if isinstance(place, Path) and place.exists()
            else MortalStore.open(place)
        )
        self.controller = self._controller()

    def copy(self, database: Database) -> Self:
        """Another world that begins where this one is; this one is closed."""
        self.store.close()
        other = type(self).__new__(type(self))
        other.folder = self.folder
        other._open(database.copy(self.place), self.key)
        return other

    def left_behind(self, database: Database) -> Self:
        """A new process over what a kill at this moment would leave; this world goes on as if untouched."""
        if self.store.kind == "postgresql":
            self.store.engine.dispose()
        other = type(self).__new__(type(self))
        other.folder = self.folder
        other._open(database.copy(self.place), self.key)
        other.now, other.epoch = self.now, self.epoch
        other.bad, other.offline = set(self.bad), set(self.offline)
        return other

    def _add_device(self, tx: Transaction, name: str, running: str) -> None:
        tx.add(
            Device(
                id=name,
                enrolled_at=self.now,
                online=True,
                last_seen=self.now,
                capabilities={"arch": "x86_64", "runtimes": {"onnxruntime": "1.20.0"}},
            )
        )
        tx.flush()
        tx.add(DeviceLabel(device=name, key="site", value="hq" if name in ("d0", "d1") else "lab"))
        if running:
            tx.add(
                DeviceModel(
                    device=name,
                    model=MODEL,
                    phase="COMMITTED",
                    active_version=running,
                    active_index=index_of(running),
                    updated_at=self.now,
                )
            )

    def _add_release(self, tx: Transaction, version: str, counter: int) -> None:
        release = Release(
            model=MODEL,
            version=version,
            index_sha256=index_of(version),
            release_counter=counter,
            may_return_to=[f"{counter - 1}.0.0"] if counter > 1 else [],
            published_at=self.now,
            published_by="test",
            size_bytes=1000,
        )
        tx.add(release)
        tx.flush()
        assert release.id is not None
        tx.add(
            Variant(
                release_id=release.id,
                position=0,
                name="int8",
                manifest_sha256=index_of(version),
                size_bytes=1000,
                precision="int8",
                requires={"runtime": "onnxruntime", "architectures": ["x86_64"]},
            )
        )

    def _controller(self) -> Controller:
        director = Director(key=lambda: self.key, epoch=lambda: self.epoch)
        blobs = Blobs(self.folder / "blobs", max_bytes=2**20)
        return Controller(store=self.store, director=director, blobs=blobs, clock=lambda: self.now)

    def restart(self) -> Self:
        """A new process over the same database."""
        self.store.close()
        self.store = MortalStore(make_engine(self.place, busy_timeout_s=15.0), busy_timeout_s=15.0)
        self.controller = self._controller()
        return self

    def start(self, **fields: object) -> int:
        spec = spec_of(**fields)
        with self.store.transaction() as tx:
            planned = rollout_plan.make(tx, spec, salt="salt", now=self.now).plan
            rollout_plan.refuse_bad(planned)
            ready = rollout_start.prepare(tx, planned, now=self.now)
            row = rollout_start.start(tx, ready, actor="test", key=None, request_sha256="")
            assert row.id is not None
            return row.id

    def document(self, device: str) -> DesiredState | None:
        """What the device would be told, checked as it would check it."""
        with self.store.read() as tx:
            row = tx.get(DesiredDocument, device)
        if row is None:
            return None
        envelope = Envelope.parse(row.envelope, max_bytes=64 * 1024)
        state = DesiredState.parse(envelope.verify(self.key.public, payload_type=PAYLOAD_TYPE))
        assert (state.epoch, state.counter) == (row.epoch, row.counter)
        return state

    def answer(self, device: str) -> None:
        """The device does what its document says, and reports it once."""
        state = self.document(device)
        if state is None or device in self.offline:
            return
        with self.store.read() as tx:
            if tx.get_one(Device, device).desired_counter >= state.counter:
                return
        with self.store.transaction() as tx:
            for wanted in state.models:
                said = tx.get(DeviceModel, (device, wanted.model))
                before = said.active_version if said is not None else ""
                falls_back = device in self.bad and wanted.version == "2.0.0"
                if said is not None and before == wanted.version:
                    phase, runs = Phase.COMMITTED, before
                elif falls_back:
                    phase, runs = Phase.FELL_BACK, before
                else:
                    phase, runs = Phase.COMMITTED, wanted.version
                self._report(tx, device, state, wanted, phase, runs)

    def _report(
        self, tx: Transaction, device: str, state: DesiredState, wanted: DesiredModel, phase: Phase, runs: str
    ) -> None:
        about = tx.get_one(Device, device)
        about.last_seen, about.desired_epoch, about.desired_counter = self.now, state.epoch, state.counter
        row = tx.get(DeviceModel, (device, MODEL)) or DeviceModel(
            device=device, model=MODEL, phase="", updated_at=0
        )
        row.phase, row.active_version = phase.value, runs
        row.active_index = index_of(runs) if runs else ""
        row.rollout, row.attempt = wanted.rollout, wanted.attempt
        tx.add(row)
        tx.flush()
        event = UpdateEvent(
            device=device,
            key=f"{wanted.rollout}-{wanted.attempt}-{phase.value}",
            kind="update",
            model=MODEL,
            version=wanted.version,
            index_sha256=wanted.index_sha256,
            manifest_sha256="",
            rollout=wanted.rollout,
            attempt=wanted.attempt,
            phase=phase,
            reason=Reason(code="worker_crashed" if phase is Phase.FELL_BACK else "", message=""),
            at=self.now,
            boot="b",
        )
        said = ReportedModel(
            model=MODEL, phase=phase, active=installed(runs), rollout=wanted.rollout, attempt=wanted.attempt
        )
        reported = Reported(
            device=device,
            agent="0.1.0",
            boot="b",
            clock="ntp",
            at=self.now,
            desired=(state.epoch, state.counter),
            models=(said,),
        )
        on_reports(tx, {device: [event, reported]}, self.now)

    def live(self, rollout: int, *, seconds: int = 60) -> str:
        """Ticks and answers until the rollout has ended."""
        for _ in range(seconds):
            self.controller.tick()
            status = self.row(rollout).status
            if status in ("COMPLETED", "FAILED", "ROLLED_BACK", "ROLLBACK_INCOMPLETE", "CANCELED", "PAUSED"):
                return status
            for device in self.names():
                self.answer(device)
            self.now += 1
        return self.row(rollout).status

    def names(self) -> list[str]:
        with self.store.read() as tx:
            return list(tx.exec(select(Device.id).order_by(col(Device.id))).all())

    def row(self, rollout: int) -> RolloutRow:
        with self.store.read() as tx:
            return tx.get_one(RolloutRow, rollout)

    def runs(self, rollout: int) -> Mapping[str, ExecutionRow]:
        with self.store.read() as tx:
            found = tx.exec(select(ExecutionRow).where(ExecutionRow.rollout == rollout)).all()
        return {row.device: row for row in found}

    def running(self) -> dict[str, str]:
        with self.store.read() as tx:
            return {row.device: row.active_version for row in tx.exec(select(DeviceModel)).all()}

    def check_counts(self) -> None:
        """Kept counters are the recount."""
        with self.store.read() as tx:
            assert list(check_counters(tx)) == []

    def close(self) -> None:
        """At the end of a test: the counters hold whatever happened."""
        self.check_counts()
        self.store.close()


def spec_of(**fields: object) -> RolloutSpec:
    return RolloutSpec.parse(
        {
            "release": f"{MODEL}@2.0.0",
            "group": "all",
            "waves": [{"name": "canary", "count": 1, "bake": "2s"}, {"name": "rest", "bake": "2s"}],
            "abort": [{"threshold": 0.1, "min_executed": 1, "action": "rollback"}],
            "timeouts": {"offer": "20s", "in_progress": "20s", "silence": "3s"},
            **fields,  # type: ignore[dict-item]  # tests write plain literals
        }
    )
