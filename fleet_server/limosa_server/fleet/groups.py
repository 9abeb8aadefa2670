"""Groups: made, changed, joined, left, taken away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import func
from sqlmodel import col, delete, select

from limosa_contracts.errors import InvalidField, NotFound
from limosa_contracts.names import check_name
from limosa_contracts.nearest import did_you_mean
from limosa_contracts.selector import Selector
from limosa_server.core.errors import GroupExists, GroupIsSelected
from limosa_server.core.rollout import RolloutStatus
from limosa_server.errors import GroupInUse, TooManyGroups
from limosa_server.fleet import membership
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.tables.devices import Device
from limosa_server.tables.groups import Group, Membership
from limosa_server.tables.rollouts import RolloutRow

SELECTORS_MAX: Final = 500  # groups by selector: each is looked at whenever a label changes
_OVER: Final = tuple(status.value for status in RolloutStatus if status.terminal)


def create(
    tx: Transaction, name: str, *, selector: Selector | None, description: str, now: float, actor: str
) -> Group:
    """Raises InvalidField, GroupExists, TooManyGroups. With a selector its members are found at once."""
    check_name(name, what="group")
    if tx.get(Group, name) is not None:
        raise GroupExists(f"group {name} exists", where="group.name")
    if selector is not None:
        _check_room(tx)
    group = Group(
        name=name,
        selector="" if selector is None else str(selector),
        description=description,
        created_at=now,
        created_by=actor,
    )
    tx.add(group)
    tx.flush()
    if selector is not None:
        membership.fill(tx, group, now=now)
    tx.announce("groups")
    return group


def change(
    tx: Transaction,
    group: Group,
    *,
    selector: Selector | None,
    description: str | None,
    now: float,
) -> None:
    """What is None stays. Raises InvalidField where a static group is given a selector."""
    if selector is not None:
        if not group.selector:
            raise InvalidField(
                f"group {group.name} has no selector", where="group.selector", why="its members were named"
            )
        group.selector = str(selector)
        membership.fill(tx, group, now=now)
    if description is not None:
        group.description = description
    group.revision += 1
    tx.add(group)
    tx.announce("groups")


def remove(tx: Transaction, group: Group) -> None:
    """Its devices stay. Raises GroupInUse while a rollout is about it."""
    about = select(RolloutRow.id).where(RolloutRow.target == group.name, col(RolloutRow.status).not_in(_OVER))
    open_one = tx.exec(about.limit(1)).first()
    if open_one is not None:
        raise GroupInUse(
            f"group {group.name} is what rollout {open_one} is about", where=f"group {group.name}"
        )
    tx.flush()
    tx.execute(delete(Membership).where(col(Membership.group) == group.name))
    tx.delete(group)
    tx.announce("groups")


def get(tx: Transaction, name: str) -> Group:
    """Raises NotFound with the names that are nearest."""
    group = tx.get(Group, name)
    if group is not None:
        return group
    raise NotFound(
        f"there is no group {name!r}",
        where="group",
        hint=did_you_mean(name, tx.exec(select(Group.name)).all(), otherwise="limosa group list"),
    )


def join(tx: Transaction, name: str, devices: Iterable[str], *, now: float) -> list[str]:
    """Adds devices to a static group; gives those that were not in it. Raises NotFound, GroupIsSelected."""
    group = static(tx, name)
    tx.flush()
    new: list[str] = []
    for some in in_rounds(list(dict.fromkeys(devices))):
        known = set(tx.exec(select(Device.id).where(col(Device.id).in_(some))))
        for device in some:
            if device not in known:
                raise NotFound(
                    f"there is no device {device[:80]!r}", where="devices", hint="limosa device list"
                )
        inside = _inside(tx, group.name, some)
        new += [device for device in some if device not in inside]
    membership.move(tx, joining=[(group.name, device) for device in new], now=now)
    return new


def leave(tx: Transaction, name: str, devices: Iterable[str], *, now: float = 0.0) -> list[str]:
    """Takes devices out of a static group; gives those that were in it."""
    group = static(tx, name)
    tx.flush()
    gone: list[str] = []
    for some in in_rounds(list(dict.fromkeys(devices))):
        inside = _inside(tx, group.name, some)
        gone += [device for device in some if device in inside]
    membership.move(tx, leaving=[(group.name, device) for device in gone], now=now)
    return gone


def on_device(tx: Transaction, device: str, group: str, now: float) -> None:
    """A device was enrolled (into a static group, "" for none), or its labels changed.

    A group that its token names and that is not there is made, so that no device is left outside.
    """
    if group:
        tx.flush()
        found = tx.get(Group, group) or create(
            tx, group, selector=None, description="", now=now, actor="enrolment"
        )
        if not found.selector:
            join(tx, group, [device], now=now)
    labels_changed(tx, device, now=now)


def labels_changed(tx: Transaction, device: str, *, now: float) -> None:
    """Call it in the transaction that changed a device's labels, and when a device joined."""
    membership.follow(tx, [device], now=now)


def static(tx: Transaction, name: str) -> Group:
    """Raises NotFound, GroupIsSelected."""
    group = get(tx, name)
    if group.selector:
        raise GroupIsSelected(f"group {name} has the selector {group.selector}", where=f"group {name}")
    return group


def _inside(tx: Transaction, group: str, devices: Iterable[str]) -> set[str]:
    rows = select(Membership.device).where(
        Membership.group == group, col(Membership.device).in_(list(devices))
    )
    return set(tx.exec(rows))


def _check_room(tx: Transaction) -> None:
    """Raises TooManyGroups."""
    have = tx.exec(select(func.count()).select_from(Group).where(Group.selector != "")).one()
    if have >= SELECTORS_MAX:
        raise TooManyGroups(f"{have} groups have a selector", where="group.selector")
