"""One device that lies about its counts must not keep the server from tidying up after all the others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlmodel import select

from limosa_contracts.errors import LimosaError
from limosa_contracts.window import Window
from limosa_server.reports import window_rows
from limosa_server.retention.rounds import Retention
from limosa_server.retention.settings import RetentionSettings
from limosa_server.store import Store
from limosa_server.tables.reports import WindowRow
from limosa_server.tables.retention import CohortHour, DeviceDay
from tests.fleet_server.databases import Database
from tests.fleet_server.retention.samples import NOW, window

pytestmark = pytest.mark.both_databases
MOST = 2**63 - 1


def lies() -> list[Window]:
    """As often as it takes for a sum to leave what a column, and a double, can hold."""
    base = window("liar", index=0)
    huge = replace(
        base.sketch, sums=(1.7e308, 1.7e308), squares=(1.7e308, 1.7e308), classes=(2**62, 2**62, 2**62),
        bins=((2**58,) * 32, (2**58,) * 32),
    )  # fmt: skip
    return [
        replace(base, index=index, n=MOST, length_s=1e9, counters={"inferences": MOST}, sketch=huge)
        for index in range(4)
    ]


def test_a_device_that_counts_to_the_end_does_not_stop_retention_for_everybody(database: Database) -> None:
    """The sum did not fit into its column: no round of retention ended well, and the disk filled up."""
    store = Store.open(database.place())
    honest = [window("honest", index=index) for index in range(3)]
    taken = []
    for one in [*lies(), *honest]:
        try:
            taken.append((Window.parse(one.encode()), one.encode()))
        except LimosaError:
            continue  # refused at the door, as it may be
    with store.transaction() as tx:
        window_rows.store(tx, taken, NOW)
    clock = [NOW]
    retention = Retention(store, RetentionSettings(), lambda: clock[0])
    for _ in range(3):
        clock[0] += 7200
        retention.finish()
    with store.read() as tx:
        days = {row.device: row for row in tx.exec(select(DeviceDay))}
        hours = tx.exec(select(CohortHour)).all()
    assert days["honest"].n == sum(one.n for one in honest)
    assert hours, "the cohort's hour is kept, whatever one device said"
    clock[0] += 4000 * 86400
    retention.finish()
    with store.read() as tx:
        assert tx.exec(select(WindowRow.id)).all() == [], "and raw windows go in their time"
    store.close()
