"""The inventory as CSV: one row a device, one column a label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from sqlmodel import col, select

from limosa_server.access.scope import Scope
from limosa_server.core.device_state import standing
from limosa_server.fleet.csv_cells import written
from limosa_server.fleet.inventory import DeviceFilter, DeviceOrder, find
from limosa_server.fleet.labels import what_holds
from limosa_server.store import Store, Transaction
from limosa_server.store.rounds import AT_ONCE
from limosa_server.tables.devices import Device, DeviceLabel, DeviceModel
from limosa_server.tables.groups import Group, Membership

LABEL: Final = "label."
COLUMNS: Final = (
    "device",
    "serial",
    "state",
    "link",
    "last_seen",
    "enrolled_at",
    "agent",
    "profile",
    "models",
    "groups",
)
"""Then the labels. `groups`: static ones only, for the others follow from labels."""


def export(store: Store, wanted: DeviceFilter, *, now: float, scope: Scope) -> Iterator[str]:
    """Line by line; a few hundred devices are held at a time."""
    with store.read() as tx:
        keys = list(
            tx.exec(
                select(DeviceLabel.key)
                .where(scope.devices(DeviceLabel.device))
                .distinct()
                .order_by(col(DeviceLabel.key))
            )
        )
    yield from written([[*COLUMNS, *(f"{LABEL}{key}" for key in keys)]])
    cursor = ""
    order = DeviceOrder()
    while True:
        with store.read() as tx:
            rows = find(tx, wanted, order=order, cursor=cursor, limit=AT_ONCE, now=now, scope=scope)
            lines = list(_lines(tx, rows, keys, scope))
        yield from written(lines)
        if len(rows) < AT_ONCE:
            return
        cursor = rows[-1].id


def _lines(tx: Transaction, rows: Sequence[Device], keys: Sequence[str], scope: Scope) -> Iterator[list[str]]:
    names = [row.id for row in rows]
    labels = what_holds(tx, names)
    groups = static_groups(tx, names, scope)
    models = _models(tx, names, scope)
    for row in rows:
        link = standing(row.state, row.online)
        yield [
            row.id,
            row.serial,
            row.state,
            link,
            _utc(row.last_seen),
            _utc(row.enrolled_at),
            row.agent,
            row.profile,
            " ".join(models.get(row.id, ())),
            " ".join(groups.get(row.id, ())),
            *(labels[row.id].get(key, ("", ""))[0] for key in keys),
        ]


def static_groups(tx: Transaction, devices: Sequence[str], scope: Scope) -> dict[str, list[str]]:
    """By device; those that `scope` may not touch are not named."""
    found: dict[str, list[str]] = {}
    rows = tx.exec(
        select(Membership.device, Membership.group)
        .join(Group, col(Group.name) == col(Membership.group))
        .where(col(Membership.device).in_(devices), Group.selector == "", scope.groups(Group.name))
        .order_by(col(Membership.group))
    )
    for device, group in rows:
        found.setdefault(device, []).append(group)
    return found


def _models(tx: Transaction, devices: Sequence[str], scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    rows = tx.exec(
        select(DeviceModel.device, DeviceModel.model, DeviceModel.active_version)
        .where(
            col(DeviceModel.device).in_(devices),
            DeviceModel.active_version != "",
            scope.models(DeviceModel.model),
        )
        .order_by(col(DeviceModel.model))
    )
    for device, model, version in rows:
        found.setdefault(device, []).append(f"{model}@{version}")
    return found


def _utc(at: float | None) -> str:
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
