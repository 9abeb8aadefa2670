"""Trouble is noted where it is reported and struck out where it is over; who runs what moves along."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, event
from sqlmodel import select

from limosa_contracts.phases import Phase
from limosa_contracts.reported import Installed, Reported, ReportedModel
from limosa_contracts.window import Window, empty_sketch
from limosa_server.alerts.noting import TroubleNotes
from limosa_server.core.alerts.troubles import LIMITS
from limosa_server.fleet.departure import Departed, Departure
from limosa_server.registry import running
from limosa_server.store import Store
from limosa_server.tables.alerts import DeviceTrouble
from limosa_server.tables.lifecycle import ReleaseCount, ReleaseDevice
from tests.fleet_server.world import Fleet

VERSIONS = ("", "1.0.0", "2.0.0")
MODELS = ("demo/a", "demo/b")
Runs = dict[str, str]


def reported(device: str, runs: Runs, *, phase: Phase = Phase.COMMITTED, free: int = 10**9) -> Reported:
    def installed(model: str, version: str) -> Installed | None:
        sha256 = f"{model[-1]}{version[:1]}".ljust(64, "0")
        return Installed(version=version, index_sha256=sha256, manifest_sha256="0" * 64) if version else None

    return Reported(
        device=device, agent="0.1.0", boot="b", clock="ntp", at=1.0, desired=(1, 1),
        models=tuple(
            ReportedModel(model=model, phase=phase, active=installed(model, version), reason="x" * 4000)
            for model, version in sorted(runs.items())
        ),
        resources={"disk_free_bytes": free},
    )  # fmt: skip


def window(errors: int, n: int) -> Window:
    return Window(
        device="d", model="demo/a", version="1.0.0", model_digest="0" * 16, baseline="1" * 16, boot="b",
        index=0, rev=1, clock="ntp", started_mono_s=0.0, started_at=1.0, length_s=10.0, n=n,
        counters={"errors": errors, "errors.load_failed": errors}, sketch=empty_sketch(bins=(32,), classes=3),
    )  # fmt: skip


def kinds(fleet: Fleet) -> set[tuple[str, str]]:
    with fleet.state.store.read() as tx:
        return {(row.kind, row.model) for row in tx.exec(select(DeviceTrouble))}


def test_each_trouble_is_noted_once_and_gone_when_the_device_says_so(fleet: Fleet) -> None:
    notes = TroubleNotes.over(fleet.state.store)
    bad = reported("d", {"demo/a": "1.0.0"}, phase=Phase.FELL_BACK, free=LIMITS.disk_free_min_bytes - 1)
    for _ in range(2):
        with fleet.state.store.transaction() as tx:
            notes.on_reports(tx, {"d": [bad, window(50, 50)]}, 1.0)
    assert kinds(fleet) == {("fell_back", "demo/a"), ("disk", ""), ("failing", "demo/a")}
    with fleet.state.store.read() as tx:
        rows = tx.exec(select(DeviceTrouble)).all()
        assert max(len(row.cause) for row in rows) <= LIMITS.cause_max_chars
    with fleet.state.store.transaction() as tx:
        notes.on_reports(tx, {"d": [reported("d", {"demo/a": "1.0.0"})]}, 2.0)
    assert kinds(fleet) == {("failing", "demo/a")}  # a report says nothing of inferences
    with fleet.state.store.transaction() as tx:
        TroubleNotes.over(fleet.state.store).on_reports(tx, {"d": [window(0, 50)]}, 3.0)  # after a restart
    assert kinds(fleet) == set()


def test_few_inferences_and_few_errors_are_no_trouble(fleet: Fleet) -> None:
    notes = TroubleNotes()
    with fleet.state.store.transaction() as tx:
        notes.on_reports(tx, {"d": [window(10, 5)]}, 1.0)
        notes.on_reports(tx, {"d": [window(5, 95)]}, 1.0)
    assert kinds(fleet) == set()


def test_a_challenger_that_fails_beside_is_no_trouble_and_ends_none(fleet: Fleet) -> None:
    """Its answers go to nobody; its windows come after those of the version that serves."""
    notes = TroubleNotes()
    with fleet.state.store.transaction() as tx:
        notes.on_reports(tx, {"d": [beside(window(5, 95)), window(95, 5)]}, 1.0)
        notes.on_reports(tx, {"d": [beside(window(0, 100))]}, 2.0)
    assert kinds(fleet) == {("failing", "demo/a")}
    with fleet.state.store.transaction() as tx:
        notes.on_reports(tx, {"d": [window(0, 100)]}, 3.0)
        notes.on_reports(tx, {"d": [beside(window(95, 5))]}, 4.0)
    assert kinds(fleet) == set()


def beside(said: Window) -> Window:
    return replace(said, counters={**said.counters, "shadow_compared": said.n})


def test_reports_of_a_healthy_device_ask_the_database_nothing(fleet: Fleet) -> None:
    notes = TroubleNotes.over(fleet.state.store)
    asked: list[str] = []

    def note(*args: object) -> None:
        asked.append(str(args[2]))

    with fleet.state.store.transaction() as tx:
        event.listen(fleet.state.store.engine, "before_cursor_execute", note)
        for _ in range(100):
            notes.on_reports(tx, {"d": [window(0, 1000), reported("d", {"demo/a": "1.0.0"})]}, 1.0)
        event.remove(fleet.state.store.engine, "before_cursor_execute", note)
    assert asked == []


def test_counters_of_who_runs_what_equal_the_rows_whatever_was_said(tmp_path: Path) -> None:
    """None in place of what it runs: the device leaves."""
    store = Store.open(tmp_path / "limosa.db")
    runs_of = st.dictionaries(st.sampled_from(MODELS), st.sampled_from(VERSIONS))

    @given(st.lists(st.tuples(st.sampled_from(("d1", "d2", "d3")), st.none() | runs_of), max_size=25))
    def hold(said: list[tuple[str, Runs | None]]) -> None:
        truth: dict[tuple[str, str], str] = {}
        with store.transaction() as tx:
            tx.execute(delete(ReleaseDevice))
            tx.execute(delete(ReleaseCount))
            for place, (device, runs) in enumerate(said):
                for model in MODELS:
                    truth.pop((device, model), None)
                if runs is None:
                    gone = Departure(device=device, how=Departed.REVOKED, reason="", at=float(place))
                    running.on_leaving(tx, gone)
                    continue
                running.on_reports(tx, {device: [reported(device, runs)]}, float(place))
                truth |= {(device, model): version for model, version in runs.items() if version}
            tx.flush()
            counts = tx.exec(select(ReleaseCount).execution_options(populate_existing=True)).all()
            counted = {(row.model, row.version): row.devices for row in counts if row.devices}
            rows = {(row.device, row.model): row.version for row in tx.exec(select(ReleaseDevice))}
        assert rows == truth
        assert counted == Counter((model, version) for (_, model), version in truth.items())

    hold()
    store.close()
