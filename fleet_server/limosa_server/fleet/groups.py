"""Groups: made, joined, left; kept up to date when labels change (rollouts 3.6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import func
from sqlmodel import col, delete, select

from limosa_contracts.errors import NotFound
from limosa_contracts.names import check_name
from limosa_contracts.selector import Selector
from limosa_server.core.errors import GroupExists, GroupIsSelected
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device, DeviceLabel
from limosa_server.tables.groups import Group, Membership


def create(
    tx: Transaction, name: str, *, selector: Selector | None, description: str, now: float, actor: str
) -> Group:
    """Raises InvalidField, GroupExists. With a selector its members are found at once."""
    check_name(name, what="group")
    if tx.get(Group, name) is not None:
        raise GroupExists(f"group {name} exists", where="group.name")
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
        members = [device for device, labels in labels_of(tx).items() if selector.matches(labels)]
        tx.add_all([Membership(group=name, device=device, since=now) for device in members])
    tx.announce("groups")
    return group


def get(tx: Transaction, name: str) -> Group:
    """Raises NotFound with the names that are nearest."""
    group = tx.get(Group, name)
    if group is not None:
        return group
    from difflib import get_close_matches

    near = get_close_matches(name, tx.exec(select(Group.name)).all(), n=1)
    raise NotFound(
        f"there is no group {name!r}",
        where="group",
        hint=f"did you mean {near[0]!r}?" if near else "limosa group list",
    )


def join(tx: Transaction, name: str, devices: Iterable[str], *, now: float) -> list[str]:
    """Adds devices to a static group; gives those that were not in it. Raises NotFound, GroupIsSelected."""
    group = _static(tx, name)
    new = []
    for device in dict.fromkeys(devices):
        if tx.get(Device, device) is None:
            raise NotFound(f"there is no device {device[:80]!r}", where="devices", hint="limosa device list")
        if tx.get(Membership, (name, device)) is None:
            tx.add(Membership(group=name, device=device, since=now))
            new.append(device)
    _changed(tx, group, bool(new))
    return new


def leave(tx: Transaction, name: str, devices: Iterable[str]) -> list[str]:
    """Takes devices out of a static group; gives those that were in it."""
    group = _static(tx, name)
    gone = []
    for device in dict.fromkeys(devices):
        member = tx.get(Membership, (name, device))
        if member is not None:
            tx.delete(member)
            gone.append(device)
    _changed(tx, group, bool(gone))
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
    tx.flush()
    labels = labels_of(tx, [device]).get(device, {})
    mine = set(tx.exec(select(Membership.group).where(Membership.device == device)).all())
    for group in tx.exec(select(Group).where(Group.selector != "")).all():
        belongs = Selector.parse(group.selector).matches(labels)
        if belongs and group.name not in mine:
            tx.add(Membership(group=group.name, device=device, since=now))
        elif not belongs and group.name in mine:
            tx.execute(
                delete(Membership).where(
                    col(Membership.group) == group.name, col(Membership.device) == device
                )
            )
        else:
            continue
        _changed(tx, group, True)


def labels_of(tx: Transaction, devices: Sequence[str] | None = None) -> Mapping[str, dict[str, str]]:
    """Labels of active devices (all, or these), also of those without any."""
    who = select(Device.id).where(Device.state == "active")
    what = select(DeviceLabel)
    if devices is not None:
        who = who.where(col(Device.id).in_(devices))
        what = what.where(col(DeviceLabel.device).in_(devices))
    result: dict[str, dict[str, str]] = {device: {} for device in tx.exec(who).all()}
    for label in tx.exec(what).all():
        if label.device in result:
            result[label.device][label.key] = label.value
    return result


def size(tx: Transaction, name: str) -> int:
    return tx.exec(select(func.count()).select_from(Membership).where(Membership.group == name)).one()


def _static(tx: Transaction, name: str) -> Group:
    group = get(tx, name)
    if group.selector:
        raise GroupIsSelected(f"group {name} has the selector {group.selector}", where=f"group {name}")
    return group


def _changed(tx: Transaction, group: Group, changed: bool) -> None:
    if changed:
        group.revision += 1
        tx.add(group)
        tx.announce("groups")
