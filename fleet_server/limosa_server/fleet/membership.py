"""Who is in which group, kept up to date when labels change and never by a scan (rollouts 3.6).

Statements per change grow neither with the fleet nor with the number of groups; a group's size is
kept beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from sqlalchemy import bindparam, delete, insert, literal, update
from sqlmodel import col, select

from limosa_contracts.selector import Selector
from limosa_server.access.scope import Scope
from limosa_server.core.device_state import DeviceState
from limosa_server.fleet.labels import reread
from limosa_server.fleet.selector_sql import selected
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.tables.devices import Device, DeviceLabel
from limosa_server.tables.groups import Group, Membership

SELECTORS_CACHED: Final = 4096


@lru_cache(maxsize=SELECTORS_CACHED)
def parsed(selector: str) -> Selector:
    """A group's selector: it was refused when the group was made if it did not parse."""
    return Selector.parse(selector)


def groups_of(tx: Transaction, device: str, scope: Scope) -> tuple[str, ...]:
    """Those that may be seen, by their names."""
    visible = scope.groups(Membership.group)
    rows = select(Membership.group).where(Membership.device == device, visible)
    return tuple(tx.exec(rows.order_by(col(Membership.group))))


def fill(tx: Transaction, group: Group, *, now: float) -> None:
    """The members of a group whose selector is new, in one statement."""
    tx.flush()
    tx.execute(delete(Membership).where(col(Membership.group) == group.name))
    members = select(literal(group.name), col(Device.id), literal(now)).where(
        Device.state == DeviceState.ACTIVE, selected(parsed(group.selector))
    )
    done = tx.connection().execute(
        insert(Membership).from_select(["group", "device", "since"], members),
        execution_options={"preserve_rowcount": True},  # PostgreSQL's driver does not count otherwise
    )
    group.devices = done.rowcount
    tx.add(group)
    tx.flush()


def follow(tx: Transaction, devices: Sequence[str], *, now: float) -> frozenset[str]:
    """Call it in the transaction that changed these devices' labels or state; gives the groups that
    changed. Devices that are not active are in no group that selects."""
    tx.flush()
    groups = {
        name: parsed(selector)
        for name, selector in tx.exec(select(Group.name, Group.selector).where(Group.selector != ""))
    }
    joining: list[tuple[str, str]] = []
    leaving: list[tuple[str, str]] = []
    for some in in_rounds(list(dict.fromkeys(devices))) if groups else ():
        labels = _labels(tx, some)
        mine = _memberships(tx, some)
        for device in some:
            for name, selector in groups.items():
                belongs = device in labels and selector.matches(labels[device])
                if belongs is not ((name, device) in mine):
                    (joining if belongs else leaving).append((name, device))
    return move(tx, joining=joining, leaving=leaving, now=now)


def move(
    tx: Transaction,
    *,
    joining: Iterable[tuple[str, str]] = (),
    leaving: Iterable[tuple[str, str]] = (),
    now: float,
) -> frozenset[str]:
    """(group, device) pairs that are not, and that are, members; gives the groups that changed."""
    new, gone = sorted(set(joining)), sorted(set(leaving))
    tx.flush()
    connection = tx.connection()
    if new:
        connection.execute(
            insert(Membership), [{"group": group, "device": device, "since": now} for group, device in new]
        )
    if gone:
        connection.execute(
            delete(Membership).where(
                col(Membership.group) == bindparam("left"), col(Membership.device) == bindparam("who")
            ),
            [{"left": group, "who": device} for group, device in gone],
        )
    _count(tx, Counter(group for group, _ in new), Counter(group for group, _ in gone))
    return frozenset(group for group, _ in (*new, *gone))


def leave_all(tx: Transaction, devices: Sequence[str], *, now: float) -> frozenset[str]:
    """Takes devices out of every group, static ones too."""
    tx.flush()
    gone: list[tuple[str, str]] = []
    for some in in_rounds(devices):
        gone += tx.exec(
            select(Membership.group, Membership.device).where(col(Membership.device).in_(some))
        ).all()
    return move(tx, leaving=gone, now=now)


def _count(tx: Transaction, new: Mapping[str, int], gone: Mapping[str, int]) -> None:
    changes = [
        {"which": group, "more": new.get(group, 0) - gone.get(group, 0)} for group in sorted({*new, *gone})
    ]
    if not changes:
        return
    tx.connection().execute(
        update(Group)
        .where(col(Group.name) == bindparam("which"))
        .values(devices=col(Group.devices) + bindparam("more"), revision=col(Group.revision) + 1),
        changes,
    )
    reread(tx, Group)
    reread(tx, Membership)
    tx.announce("groups")


def _labels(tx: Transaction, devices: Sequence[str]) -> dict[str, dict[str, str]]:
    """Labels of those that are active, also of those without any."""
    found: dict[str, dict[str, str]] = {
        device: {}
        for device in tx.exec(
            select(Device.id).where(col(Device.id).in_(devices), Device.state == DeviceState.ACTIVE)
        )
    }
    rows = select(DeviceLabel.device, DeviceLabel.key, DeviceLabel.value)
    for device, key, value in tx.exec(rows.where(col(DeviceLabel.device).in_(devices))):
        if device in found:
            found[device][key] = value
    return found


def _memberships(tx: Transaction, devices: Sequence[str]) -> set[tuple[str, str]]:
    rows = tx.exec(select(Membership.group, Membership.device).where(col(Membership.device).in_(devices)))
    return set(rows.all())
