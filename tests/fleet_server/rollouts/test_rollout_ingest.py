"""What devices say comes in batches; how it was cut must not show in any row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event as on_event
from sqlalchemy import select

from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.phases import Phase
from limosa_contracts.reported import Reported, ReportedModel
from limosa_server.alerts.noting import TroubleNotes
from limosa_server.registry import running
from limosa_server.rollouts import rollout_ingest
from limosa_server.store import Transaction
from limosa_server.tables.alerts import DeviceTrouble
from limosa_server.tables.lifecycle import ReleaseCount, ReleaseDevice
from limosa_server.tables.rollouts import ExecutionRow, WaveRow
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import MODEL, SmallFleet, index_of, installed

pytestmark = pytest.mark.both_databases
DEVICES = 4
TABLES = (ExecutionRow, WaveRow, ReleaseDevice, ReleaseCount, DeviceTrouble)
VERSION_OF = {"1": "2.0.0", "2": "3.0.0", "7": "2.0.0", "x": "2.0.0"}
Report: TypeAlias = UpdateEvent | Reported
Rows: TypeAlias = list[list[tuple[Any, ...]]]


class Undone(Exception):
    """The transaction shall not be kept."""


@pytest.fixture
def fleet(database: Database) -> Iterator[SmallFleet]:
    """Rollout 1 has failed attempts to repeat; rollout 2 has taken some of its devices over."""
    made = SmallFleet(database.place(), database.folder, devices=DEVICES)
    whole = [{"name": "all", "bake": "1h"}]
    made.start(waves=whole, abort=[], retry={"attempts": 1})
    made.controller.tick()
    made.start(release=f"{MODEL}@3.0.0", selector="site=hq", group=None, waves=whole, abort=[])
    made.controller.tick()
    yield made
    made.store.close()


rollouts = st.sampled_from(sorted(VERSION_OF))
phases = st.sampled_from(Phase)
attempts = st.integers(1, 2)
devices = st.sampled_from([f"d{i}" for i in range(DEVICES)])
versions = st.sampled_from(("", "1.0.0", "2.0.0", "3.0.0"))


@st.composite
def said(draw: st.DrawFn) -> Report:
    device, rollout, phase, attempt = draw(devices), draw(rollouts), draw(phases), draw(attempts)
    if draw(st.booleans()):
        code = draw(st.sampled_from(("", "disk_full", "worker_crashed")))
        return UpdateEvent(
            device=device, key=f"{rollout}-{attempt}-{phase.value}", kind="update", model=MODEL,
            version=VERSION_OF[rollout], index_sha256=index_of(VERSION_OF[rollout]), manifest_sha256="",
            rollout=rollout, attempt=attempt, phase=phase, reason=Reason(code=code, message=code), at=1.0,
            boot="b",
        )  # fmt: skip
    model = ReportedModel(
        model=MODEL, phase=phase, active=installed(draw(versions)), rollout=rollout, attempt=attempt,
        reason=draw(st.sampled_from(("", "why"))),
    )  # fmt: skip
    counter = draw(st.sampled_from((1, 2**40)))
    return Reported(
        device=device, agent="0.1.0", boot="b", clock="ntp", at=1.0, desired=(1, counter), models=(model,)
    )


def test_the_same_rows_however_reports_are_cut_into_batches(fleet: SmallFleet) -> None:
    """Doubled and in any order, as they come after a night without a network."""

    @given(st.lists(said(), max_size=14), st.lists(st.integers(1, 5), max_size=14))
    @settings(max_examples=40, deadline=None)
    def hold(reports: list[Report], cuts: list[int]) -> None:
        one_by_one = rows_after(fleet, [[report] for report in reports])
        assert rows_after(fleet, list(batches(reports, cuts))) == one_by_one
        assert rows_after(fleet, [reports]) == one_by_one

    hold()


def test_counters_are_the_recount_after_a_batch_and_its_replay(fleet: SmallFleet) -> None:
    @given(st.lists(said(), max_size=14))
    @settings(max_examples=20, deadline=None)
    def hold(reports: list[Report]) -> None:
        executions, waves, *_ = rows_after(fleet, [reports, reports])
        columns = [column.name for column in ExecutionRow.__table__.columns]  # type: ignore[attr-defined]  # every table has one
        wave_columns = [column.name for column in WaveRow.__table__.columns]  # type: ignore[attr-defined]  # as above
        for row in waves:
            wave = dict(zip(wave_columns, row, strict=True))
            mine = [dict(zip(columns, run, strict=True)) for run in executions]
            states = [
                run["state"]
                for run in mine
                if (run["rollout"], run["wave"]) == (wave["rollout"], wave["index"])
            ]
            assert wave["counts"] == {state: states.count(state) for state in sorted(set(states))}

    hold()


def test_a_batch_of_many_devices_costs_the_statements_of_one(fleet: SmallFleet) -> None:
    def statements(names: Sequence[str]) -> int:
        asked: list[str] = []

        def note(*args: object) -> None:
            asked.append(str(args[2]))

        news = [committed(name) for name in names]
        on_event.listen(fleet.store.engine, "before_cursor_execute", note)
        rows_after(fleet, [news])
        on_event.remove(fleet.store.engine, "before_cursor_execute", note)
        return len(asked)

    assert statements(["d2", "d3"]) == statements(["d2"])


def committed(device: str) -> UpdateEvent:
    return UpdateEvent(
        device=device, key="1-1-COMMITTED", kind="update", model=MODEL, version="2.0.0",
        index_sha256=index_of("2.0.0"), manifest_sha256="", rollout="1", attempt=1, phase=Phase.COMMITTED,
        reason=Reason(code="", message=""), at=1.0, boot="b",
    )  # fmt: skip


def batches(reports: Sequence[Report], cuts: Sequence[int]) -> Iterator[Sequence[Report]]:
    at = 0
    for size in cuts:
        yield reports[at : at + size]
        at += size
    yield reports[at:]


def rows_after(fleet: SmallFleet, some: Sequence[Sequence[Report]]) -> Rows:
    """What the tables hold after these batches; then it is undone."""
    found: Rows = []
    notes = TroubleNotes()
    with suppress(Undone), fleet.store.transaction() as tx:
        for batch in some:
            news: dict[str, list[Report]] = {}
            for report in batch:
                news.setdefault(report.device, []).append(report)
            for handler in (rollout_ingest.on_reports, running.on_reports, notes.on_reports):
                handler(tx, news, fleet.now)
        found += all_rows(tx)
        raise Undone
    return found


def all_rows(tx: Transaction) -> Rows:
    tx.flush()
    found: Rows = []
    for table in TABLES:
        columns = table.__table__  # type: ignore[union-attr]  # every table has one
        rows = [tuple(row) for row in tx.connection().execute(select(columns))]
        if table is ReleaseCount:
            rows = [row for row in rows if row[-1]]  # nobody runs it: as if there were no row
        found.append(sorted(rows, key=repr))
    return found
