"""Devices that say they compared more rows than there are, while their shadow's gate is read (rollouts 6)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limosa_server.rollouts.modes_facts import moments
from limosa_server.rollouts.rollout_rows import rollout_of
from limosa_server.store import Store
from limosa_server.tables.devices import Device
from limosa_server.tables.modes import ShadowCountRow
from tests.fleet_server.databases import Database
from tests.fleet_server.retention import samples

pytestmark = pytest.mark.both_databases
KEPT = 2**62
"""What 512 windows of the most that is taken in one add up to."""


def test_liars_do_not_keep_a_shadows_gate_from_being_read(database: Database) -> None:
    """Two of them, and the database's sum was an error: no tick of their rollout ended well."""
    store = Store.open(database.place())
    with store.transaction() as tx:
        row = samples.rollout(1, ended_at=None)
        row.spec = {"release": "demo/motion@1.0.0", "group": "all", "waves": [{"name": "all"}]}
        tx.add(row)
        tx.flush()
        for device in ("liar-1", "liar-2", "liar-3", "honest"):
            tx.add(Device(id=device, enrolled_at=samples.NOW))
        tx.flush()
        for device in ("liar-1", "liar-2", "liar-3"):
            tx.add(ShadowCountRow(rollout=1, device=device, compared=KEPT, disagreed=KEPT, dropped=0))
        tx.add(ShadowCountRow(rollout=1, device="honest", compared=100, disagreed=1, dropped=0))
        rollout = replace(rollout_of(row), id=1)
    with store.read() as tx:
        found = moments(tx, rollout)
    assert (found.devices, found.rows >= 3 * KEPT) == (4, True)
    store.close()
