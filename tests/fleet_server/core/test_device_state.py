"""The one word for how a device stands, and that a database takes its states as they are (trust 6.1)."""

from __future__ import annotations

import pytest
from sqlmodel import col, select

from limosa_server.core.device_state import GONE, DeviceState, none_standing, standing
from limosa_server.store import Store
from limosa_server.tables.devices import Device
from tests.fleet_server.databases import Database


@pytest.mark.parametrize(
    ("state", "online", "word"),
    [("active", True, "online"), ("active", False, "offline"), ("revoked", True, "revoked"),
     ("decommissioned", False, "decommissioned")],
)  # fmt: skip
def test_a_device_that_left_is_neither_online_nor_offline(state: str, online: bool, word: str) -> None:
    assert standing(state, online) == word
    assert word in none_standing()


@pytest.mark.both_databases
def test_states_are_kept_and_asked_for_as_their_words(database: Database) -> None:
    store = Store.open(database.place())
    with store.transaction() as tx:
        for state in DeviceState:
            tx.add(Device(id=state.value, enrolled_at=0.0, state=state))
        tx.add(Device(id="new", enrolled_at=0.0))
    with store.read() as tx:
        active = tx.exec(select(Device.id).where(Device.state == DeviceState.ACTIVE).order_by(Device.id))
        assert list(active) == ["active", "new"]
        gone = tx.exec(select(Device.state).where(col(Device.state).in_(GONE)).order_by(Device.id)).all()
        assert [f"{state}" for state in gone] == ["decommissioned", "revoked"]
        words = tx.exec(select(Device.state).where(Device.id == "new")).one()
        assert type(words) is str
    store.close()
