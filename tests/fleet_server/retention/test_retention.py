"""Old rows go and their sums stay: exact, whatever order and how often windows came (server 2.4)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlmodel import select

from limosa_contracts.phases import Phase
from limosa_contracts.window import Sketch, Window, unpack
from limosa_server.reports import event_rows, window_rows
from limosa_server.retention.merging import Totals
from limosa_server.retention.rounds import Retention, shown
from limosa_server.retention.settings import DAY_S, RetentionSettings
from limosa_server.store import Store
from limosa_server.tables.reports import EventRow, WindowRow
from limosa_server.tables.retention import CohortHour, DeviceDay, EventQuota
from limosa_server.tables.rollouts import RolloutRow
from tests.fleet_server.databases import Database
from tests.fleet_server.retention.samples import NOW, event, rollout, window

pytestmark = pytest.mark.both_databases
HOUR_S = 3600.0


class Kept:
    """A store with windows in it, and a clock."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOW
        self.settings = RetentionSettings(merged_at_once=7)
        self.retention = Retention(store, self.settings, lambda: self.now)

    def take(self, *windows: Window) -> None:
        with self.store.transaction() as tx:
            window_rows.store(tx, [(one, one.encode()) for one in windows], self.now)

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.retention.finish()

    def days(self) -> dict[tuple[str, int], Totals]:
        with self.store.read() as tx:
            rows = tx.exec(select(DeviceDay)).all()
        return {(row.device, row.day): _totals(row) for row in rows}

    def hours(self) -> dict[int, Totals]:
        with self.store.read() as tx:
            rows = tx.exec(select(CohortHour)).all()
        return {row.hour: _totals(row) for row in rows}

    def raw(self) -> int:
        with self.store.read() as tx:
            return len(tx.exec(select(WindowRow.id)).all())


def _totals(row: DeviceDay | CohortHour) -> Totals:
    return Totals(
        windows=row.windows, n=row.n, length_s=row.length_s, counters=row.counters, sketch=unpack(row.sketch)
    )


@pytest.fixture
def kept(database: Database) -> Iterator[Kept]:
    store = Store.open(database.place())
    yield Kept(store)
    store.close()


def test_what_a_challenger_answered_is_in_no_sum_of_what_served(kept: Kept) -> None:
    served = window("d1", index=0)
    beside = window("d1", index=1)
    beside = replace(beside, counters={**beside.counters, "shadow_compared": 7})
    kept.take(served, beside)
    kept.after(2 * HOUR_S)
    assert list(kept.hours().values()) == list(kept.days().values()) == [total([served])]
    kept.take(replace(served, rev=2, n=served.n + 1))  # its hour is added up again
    kept.after(2 * HOUR_S)
    assert list(kept.hours().values()) == [total([replace(served, rev=2, n=served.n + 1)])]
    assert kept.raw() == 2


def total(windows: list[Window]) -> Totals:
    first, *rest = [Totals.of(one) for one in windows]
    for one in rest:
        first = first.plus(one)
    return first


def test_windows_become_days_of_devices_and_hours_of_all(kept: Kept) -> None:
    windows = [window(f"d{i % 3}", index=i, at=NOW - i * 1200) for i in range(36)]
    kept.take(*windows)
    kept.after(2 * HOUR_S)
    for (device, day), sums in kept.days().items():
        mine = [one for one in windows if one.device == device and one.started_at // DAY_S == day]
        assert sums == total(mine)
    assert kept.hours() == {
        hour: total([one for one in windows if one.started_at // HOUR_S == hour])
        for hour in {int(one.started_at // HOUR_S) for one in windows}
    }


def test_a_window_that_is_still_being_sent_does_not_count_yet(kept: Kept) -> None:
    kept.take(window("d0", index=0, rev=1))
    kept.after(HOUR_S / 2)
    assert kept.days() == {}
    kept.take(window("d0", index=0, rev=2))
    kept.after(2 * HOUR_S)
    assert [sums.n for sums in kept.days().values()] == [window("d0", index=0, rev=2).n]


def test_a_window_that_is_revised_a_day_later_revises_the_past_and_counts_once(kept: Kept) -> None:
    """Telemetry 3.4: late windows revise the past."""
    windows = [window(f"d{i}", index=0) for i in range(4)]
    kept.take(*windows)
    kept.after(DAY_S)
    late = window("d1", index=0, rev=9)
    kept.take(late)
    kept.after(2 * HOUR_S)
    assert list(kept.hours().values()) == [total([windows[0], late, *windows[2:]])]
    assert kept.days()["d1", int(NOW // DAY_S)] == total([late])


def test_any_order_of_arrivals_and_rounds_gives_the_same_sums(kept: Kept) -> None:
    draw = random.Random(11)
    last = {i: window(f"d{i % 2}", index=i, rev=3, at=NOW - i * 900) for i in range(12)}
    arrivals = [
        replace(one, rev=rev, n=one.n - 3 + rev) for one in last.values() for rev in (1, 2, 3) for _ in "ab"
    ]
    draw.shuffle(arrivals)
    for one in arrivals:
        kept.take(one)
        if draw.random() < 0.3:
            kept.after(draw.choice([60.0, 2 * HOUR_S]))
    kept.after(3 * HOUR_S)
    assert sum(sums.n for sums in kept.days().values()) == sum(one.n for one in last.values())
    assert sum(sums.n for sums in kept.hours().values()) == sum(one.n for one in last.values())
    assert sum(sums.windows for sums in kept.hours().values()) == 12


def test_after_35_days_the_windows_are_gone_and_after_90_the_days_and_the_hours_stay(kept: Kept) -> None:
    kept.take(*(window("d0", index=i) for i in range(10)))
    kept.after(34 * DAY_S)
    assert kept.raw() == 10
    kept.after(2 * DAY_S)
    assert kept.raw() == 0
    assert [sums.windows for sums in kept.days().values()] == [10]
    kept.after(60 * DAY_S)
    assert kept.days() == {}
    assert [sums.windows for sums in kept.hours().values()] == [10]
    with kept.store.read() as tx:
        lines = {line["what"]: line for line in shown(tx, kept.settings)}
    assert (lines["windows"]["removed"], lines["device-days"]["removed"]) == (10, 1)
    assert lines["cohort-hours"]["keep_days"] is None


def test_a_device_without_a_clock_counts_when_its_windows_came(kept: Kept) -> None:
    kept.take(window("d0", index=0, at=12.0))
    kept.after(2 * HOUR_S)
    assert list(kept.hours()) == [int(NOW // HOUR_S)]


def test_windows_of_other_shapes_are_counted_and_only_their_sketch_is_left_out(kept: Kept) -> None:
    odd = window("d1", index=1)
    odd = replace(odd, sketch=replace(odd.sketch, classes=(1,)))
    kept.take(window("d0", index=0), odd)
    kept.after(2 * HOUR_S)
    (sums,) = kept.hours().values()
    assert (sums.windows, sums.n) == (2, window("d0", index=0).n + odd.n)
    assert sums.sketch == Sketch(
        bins=(), missing=(), sums=(), squares=(), classes=(), confidence=(0,) * 10, latency=(0,) * 32
    )


def test_long_after_a_rollout_its_progress_is_forgotten_and_its_ends_are_known(kept: Kept) -> None:
    with kept.store.transaction() as tx:
        tx.add(rollout(1, ended_at=NOW))
        tx.add(rollout(2, ended_at=None))
        phases = (Phase.DOWNLOADING, Phase.STAGED, Phase.COMMITTED)
        news = [event("d0", rollout=str(r), phase=phase) for r in (1, 2) for phase in phases]
        event_rows.store(tx, [(one, one.encode()) for one in news], NOW, progress_per_day=100)
    kept.after(31 * DAY_S)
    with kept.store.read() as tx:
        left = sorted((row.rollout, row.phase) for row in tx.exec(select(EventRow)))
        assert len(tx.exec(select(RolloutRow)).all()) == 2
    assert left == [("1", "COMMITTED"), *[("2", phase) for phase in ("COMMITTED", "DOWNLOADING", "STAGED")]]


def test_a_device_that_reports_progress_without_end_loses_progress_and_never_its_end(kept: Kept) -> None:
    """hawkBit #1249, #1846: a quota of status rows that refused the last one (rollouts 3.7)."""
    news = [event("d0", rollout="1", phase=Phase.DOWNLOADING, key=f"p{i}") for i in range(30)]
    news += [event("d0", rollout="1", phase=Phase.FELL_BACK, key="end"), event("d1", rollout="1")]
    with kept.store.transaction() as tx:
        for one in news:
            event_rows.store(tx, [(one, one.encode())], NOW, progress_per_day=10)
        again = event_rows.store(tx, [(news[-2], news[-2].encode())], NOW, progress_per_day=10)
    with kept.store.read() as tx:
        keys = {(row.device, row.key) for row in tx.exec(select(EventRow))}
        quota = tx.get_one(EventQuota, "d0")
    assert keys == {*(("d0", f"p{i}") for i in range(10)), ("d0", "end"), ("d1", news[-1].key)}
    assert (quota.count, quota.dropped) == (10, 20)
    assert again["duplicate"] == 1
