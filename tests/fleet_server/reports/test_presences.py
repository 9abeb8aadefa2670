"""Everybody comes back at once after a broker's restart; it is written as if each had come alone."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select as select_columns
from sqlmodel import col

from limosa_contracts.status import Status
from limosa_server.reports import report_rows
from limosa_server.tables.devices import Device
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import SmallFleet

pytestmark = pytest.mark.both_databases
statuses = st.builds(Status, online=st.booleans(), session=st.integers(0, 3))


class Undone(Exception):
    """The transaction shall not be kept."""


def test_a_storm_is_written_as_if_each_had_come_alone(database: Database) -> None:
    fleet = SmallFleet(database.place(), database.folder, devices=3)

    def after(waves: list[dict[str, Status]], *, at_once: bool) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        with suppress(Undone), fleet.store.transaction() as tx:
            for place, wave in enumerate(waves):
                now = fleet.now + 1000.0 * place
                for part in [wave] if at_once else [{name: said} for name, said in wave.items()]:
                    report_rows.presences(tx, part, now=now)
            columns = (Device.id, Device.online, Device.presence_session, Device.last_seen)
            query = select_columns(*(col(one) for one in columns)).order_by(col(Device.id))
            found += [tuple(row) for row in tx.execute(query)]
            raise Undone
        return found

    @given(st.lists(st.dictionaries(st.sampled_from(("d0", "d1", "d2", "nobody")), statuses), max_size=4))
    @settings(max_examples=30, deadline=None)
    def hold(waves: list[dict[str, Status]]) -> None:
        assert after(waves, at_once=True) == after(waves, at_once=False)

    hold()
    fleet.store.close()
