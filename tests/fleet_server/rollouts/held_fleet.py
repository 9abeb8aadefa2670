"""Devices that run challengers beside what answers, and tell windows; over a real database and controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlmodel import select

from limosa_contracts.desired import DesiredModel, DesiredState
from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.feedback import Feedback, Kpi
from limosa_contracts.phases import Phase
from limosa_contracts.reported import Reported, ReportedModel
from limosa_contracts.shadow import ShadowSketch
from limosa_contracts.window import Window, empty_sketch
from limosa_server.rollouts import modes_ingest, modes_report
from limosa_server.rollouts.rollout_ingest import on_reports
from limosa_server.rollouts.rollout_view import rollout_json
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device, DeviceModel
from limosa_server.tables.rollouts import DesiredDocument, RolloutRow
from tests.fleet_server.small_fleet import MODEL, SmallFleet, index_of, installed

SHADOW: dict[str, Any] = {
    "mode": "shadow",
    "shadow": {"min_rows": 100, "agreement": 0.9, "wait": "8s"},
    "abort": [{"threshold": 0.1, "min_executed": 1, "action": "cancel"}],
}
AB: dict[str, Any] = {"mode": "ab", "ab": {"kpis": [{"name": "clicked"}], "duration": "8s"}}


class HeldFleet(SmallFleet):
    """`crashing`: devices on which a challenger does not live."""

    crashing: frozenset[str] = frozenset()

    def __init__(self, place: Path | str, folder: Path, *, devices: int = 4) -> None:
        super().__init__(place, folder, devices=devices)
        self._answered: dict[str, tuple[int, int]] = {}  # device -> document

    def answer(self, device: str) -> None:
        state = self.document(device)
        if state is None or device in self.offline:
            return
        with self.store.transaction() as tx:
            about = tx.get_one(Device, device)
            if about.desired_counter >= state.counter:
                return
            about.last_seen, about.desired_epoch, about.desired_counter = self.now, state.epoch, state.counter
            tx.add(about)
            on_reports(tx, {device: self._said(tx, device, state)}, self.now)

    def _said(self, tx: Transaction, device: str, state: DesiredState) -> list[UpdateEvent | Reported]:
        reports: list[UpdateEvent | Reported] = []
        row = tx.get_one(DeviceModel, (device, MODEL))
        rollout, beside = "", None
        for wanted in state.models:
            if wanted.mode == "shadow":
                phase = Phase.FELL_BACK if device in self.crashing else Phase.COMMITTED
                beside = ReportedModel(
                    model=MODEL,
                    phase=phase,
                    active=installed(wanted.version) if phase is Phase.COMMITTED else None,
                    rollout=wanted.rollout,
                    attempt=wanted.attempt,
                )
                reports.append(_event(device, wanted, phase, self.now, lane="shadow"))
                continue
            row.active_version, row.active_index = wanted.version, index_of(wanted.version)
            rollout = wanted.rollout
            reports.append(_event(device, wanted, Phase.COMMITTED, self.now))
        tx.add(row)
        tx.flush()
        said = ReportedModel(
            model=MODEL,
            phase=Phase.COMMITTED,
            active=installed(row.active_version),
            rollout=rollout,
            extra={"shadow": beside.as_json()} if beside is not None else {},
        )
        reports.append(
            Reported(
                device=device,
                agent="0.1.0",
                boot="b",
                clock="ntp",
                at=self.now,
                desired=(state.epoch, state.counter),
                models=(said,),
            )
        )
        return reports

    def lanes(self, device: str) -> dict[str, str]:
        """mode -> version, as the device is told."""
        state = self.document(device)
        return {} if state is None else {one.mode: one.version for one in state.models}

    def tell(
        self,
        device: str,
        version: str,
        *,
        rev: int = 1,
        index: int = 0,
        compared: int | None = None,
        disagreed: int = 0,
        kpi: Kpi | None = None,
        name: str = "clicked",
        labelled: tuple[int, int] | None = None,
        began: float | None = None,
        clock: str = "ntp",
    ) -> None:
        """A window of what this device runs of this version; `began` None: just now, by its clock."""
        counters = {} if compared is None else {"shadow_compared": compared, "shadow_disagreed": disagreed}
        bins = (0,) * 9
        feedback = None
        if kpi is not None or labelled is not None:
            n, right = labelled or (0, 0)
            feedback = Feedback(
                kpis={} if kpi is None else {name: kpi}, labelled=(*bins, n), correct=(*bins, right)
            )
        window = Window(
            device=device,
            model=MODEL,
            version=version,
            model_digest=index_of(version)[:16],
            baseline="0" * 16,
            boot="b",
            index=index,
            rev=rev,
            clock=clock,
            started_mono_s=0.0,
            started_at=self.now if began is None else began,
            length_s=1.0,
            n=100,
            counters=counters,
            sketch=empty_sketch(bins=[32], classes=3),
            feedback=feedback,
            shadow=None
            if compared is None
            else ShadowSketch(
                compared=(*bins, compared), disagreed=(*bins, disagreed), pairs={(0, 1): disagreed}
            ),
        )
        with self.store.transaction() as tx:
            modes_ingest.on_reports(tx, {device: [Window.parse(window.encode())]}, self.now)

    def reach(self, device: str, *, online: bool) -> None:
        self.offline = self.offline - {device} if online else {*self.offline, device}
        with self.store.transaction() as tx:
            about = tx.get_one(Device, device)
            about.online, about.last_seen = online, self.now - 60 * (not online)
            tx.add(about)

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            self.controller.tick()
            with self.store.read() as tx:
                documents = {
                    row.device: (row.epoch, row.counter)
                    for row in tx.exec(select(DesiredDocument)).all()
                    if row.device not in self.offline
                }
            for device in sorted(documents):
                if self._answered.get(device) != documents[device]:
                    self._answered[device] = documents[device]
                    self.answer(device)

    def report(self, rollout: int) -> dict[str, Any]:
        with self.store.read() as tx:
            return dict(modes_report.report_of(tx, tx.get_one(RolloutRow, rollout), now=self.now))

    def next_of(self, rollout: int) -> str:
        """What its watcher is told to do."""
        with self.store.read() as tx:
            return str(rollout_json(tx, tx.get_one(RolloutRow, rollout), now=self.now)["next"])


def _event(device: str, wanted: DesiredModel, phase: Phase, now: float, *, lane: str = "") -> UpdateEvent:
    return UpdateEvent(
        device=device,
        key=f"{lane}{wanted.rollout}-{wanted.attempt}-{phase.value}",
        kind="update",
        model=MODEL,
        version=wanted.version,
        index_sha256=wanted.index_sha256,
        manifest_sha256="",
        rollout=wanted.rollout,
        attempt=wanted.attempt,
        phase=phase,
        reason=Reason(code="shadow_crashed" if phase is Phase.FELL_BACK else "", message=""),
        at=now,
        boot="b",
        extra={"lane": lane} if lane else {},
    )
