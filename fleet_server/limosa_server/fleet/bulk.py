"""Labels and groups of many devices from one CSV: all of it or nothing, and as often as one likes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlmodel import col, select

from limosa_contracts.json_value import JsonValue
from limosa_server.access import audit, tokens
from limosa_server.access.scope import Scope
from limosa_server.core.device_state import DeviceState
from limosa_server.fleet import membership
from limosa_server.fleet.bulk_export import static_groups
from limosa_server.fleet.bulk_rows import GROUPS, RowError, Wish, check_headings, read
from limosa_server.fleet.csv_cells import parse
from limosa_server.fleet.labels import OPERATOR, Holds, said_of, set_many, what_holds
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.tables.access import EnrollmentToken
from limosa_server.tables.devices import Device
from limosa_server.tables.groups import Group

LISTED_MAX: Final = 500  # changes, and errors, that the answer names; all are counted
AUDITED_MAX: Final = 200  # devices that the audit row names


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    row: int
    device: str
    labels: dict[str, str]  # what the operator says of it from now on
    set: dict[str, str]
    removed: tuple[str, ...]
    joins: tuple[str, ...]
    leaves: tuple[str, ...]

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "row": self.row,
            "device": self.device,
            "set": dict(self.set),
            "removed": list(self.removed),
            "joins": list(self.joins),
            "leaves": list(self.leaves),
        }


@dataclass(slots=True, kw_only=True)
class Import:
    """What a file asks for, beside what there is."""

    rows: int
    changes: list[Change] = field(default_factory=list)
    newcomers: list[Wish] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)  # they have a token that is not used yet
    errors: list[RowError] = field(default_factory=list)
    tokens: list[tuple[str, str]] = field(default_factory=list)  # (device, token), shown once

    def as_json(self, *, applied: bool) -> dict[str, JsonValue]:
        return {
            "applied": applied,
            "rows": self.rows,
            "changed": len(self.changes),
            "new": len(self.newcomers),
            "waiting": len(self.waiting),
            "wrong": len(self.errors),
            "changes": [change.as_json() for change in self.changes[:LISTED_MAX]],
            "errors": [error.as_json() for error in self.errors[:LISTED_MAX]],
            "tokens": [{"device": device, "token": token} for device, token in self.tokens],
        }


def run(
    state: ServerState, data: bytes, *, dry_run: bool, enroll: bool, scope: Scope, actor: str
) -> dict[str, JsonValue]:
    """Applies the file, unless a row of it is wrong. `enroll`: devices that are not there get a token.

    Raises InvalidField, TooLarge for what is no table.
    """
    headings, lines = parse(data)
    check_headings(headings)
    wishes, errors = read(lines)
    now = state.clock()
    if dry_run or errors:
        with state.store.read() as tx:
            planned = plan(tx, wishes, enroll=enroll, scope=scope, now=now)
        planned.errors = sorted([*errors, *planned.errors], key=lambda one: (one.row, one.column))
        planned.rows = len(lines)
        return planned.as_json(applied=False)
    with state.store.transaction() as tx:
        planned = plan(tx, wishes, enroll=enroll, scope=scope, now=now)
        if not planned.errors:
            _apply(tx, state, planned, now=now, actor=actor, digest=hashlib.sha256(data).hexdigest())
    return planned.as_json(applied=not planned.errors)


def plan(tx: Transaction, wishes: Sequence[Wish], *, enroll: bool, scope: Scope, now: float) -> Import:
    """Reads only, in a number of statements that grows by one round per 500 rows."""
    planned = Import(rows=len(wishes))
    groups = dict(tx.exec(select(Group.name, Group.selector)).all())
    for some in in_rounds(wishes):
        names = [wish.device for wish in some]
        active = set(
            tx.exec(
                select(Device.id).where(
                    col(Device.id).in_(names), Device.state == DeviceState.ACTIVE, scope.devices(Device.id)
                )
            )
        )
        known = set(tx.exec(select(Device.id).where(col(Device.id).in_(names))))
        holds, said = what_holds(tx, sorted(active)), said_of(tx, sorted(active))
        inside, waiting = static_groups(tx, sorted(active), scope), _waiting(tx, names, now)
        for wish in some:
            if found := _errors(wish, groups, active, known, enroll=enroll, scope=scope):
                planned.errors += found
            elif wish.device in active:
                operators = said[wish.device].get(OPERATOR, {})
                change = _change(wish, holds[wish.device], operators, inside.get(wish.device, []))
                if change is not None:
                    planned.changes.append(change)
            elif wish.device in waiting:
                planned.waiting.append(wish.device)
            else:
                planned.newcomers.append(wish)
    return planned


def _errors(
    wish: Wish,
    groups: dict[str, str],
    active: set[str],
    known: set[str],
    *,
    enroll: bool,
    scope: Scope,
) -> list[RowError]:
    wrong: list[tuple[str, str]] = []
    if scope.group and not enroll and wish.device not in active:
        wrong.append(("device", f"group {scope.group} has no such device"))  # whoever else has it
    elif wish.device not in active and wish.device in known:
        wrong.append(("device", "it is not in the fleet any more, or not in this token's group"))
    elif wish.device not in known and not enroll:
        wrong.append(("device", "there is no such device; --enroll makes tokens for new ones"))
    elif wish.device not in known and len(wish.groups or ()) > 1:
        wrong.append((GROUPS, "a device that is not there yet joins one group only"))
    for group in wish.groups or ():
        if not scope.sees_group(group):
            wrong.append((GROUPS, f"this token is bound to group {scope.group}"))
        elif group not in groups:
            wrong.append((GROUPS, f"there is no group {group}"))
        elif groups[group]:
            wrong.append((GROUPS, f"group {group} has a selector: its members follow from labels"))
    if wish.device not in known and enroll and scope.group and wish.groups != (scope.group,):
        wrong.append((GROUPS, f"this token lets devices into group {scope.group} only"))
    return [RowError(row=wish.row, column=column, device=wish.device, why=why) for column, why in wrong]


def _change(wish: Wish, holds: Holds, operators: dict[str, str], inside: Sequence[str]) -> Change | None:
    """None where all is as the row says. A cell that says what holds already changes nothing, so that an
    exported file can be imported as it is."""
    new = {
        key: value for key, value in wish.labels.items() if value and value != holds.get(key, (None, ""))[0]
    }
    removed = tuple(sorted(key for key, value in wish.labels.items() if not value and operators.get(key)))
    wanted = set(inside) if wish.groups is None else set(wish.groups)
    joins, leaves = tuple(sorted(wanted - set(inside))), tuple(sorted(set(inside) - wanted))
    if not (new or removed or joins or leaves):
        return None
    kept = {key: value for key, value in operators.items() if key not in removed}
    return Change(
        row=wish.row,
        device=wish.device,
        labels={**kept, **new},
        set=new,
        removed=removed,
        joins=joins,
        leaves=leaves,
    )


def _waiting(tx: Transaction, devices: Sequence[str], now: float) -> set[str]:
    """Those for which a token is out that was not used."""
    token = EnrollmentToken
    rows = select(token.device).where(
        col(token.device).in_(devices),
        col(token.used_at).is_(None),
        col(token.revoked_at).is_(None),
        col(token.expires_at) > now,
    )
    return set(tx.exec(rows))


def _apply(
    tx: Transaction, state: ServerState, planned: Import, *, now: float, actor: str, digest: str
) -> None:
    relabelled = {one.device: one.labels for one in planned.changes if one.set or one.removed}
    changed = set_many(tx, relabelled, source=OPERATOR)
    membership.move(
        tx,
        joining=[(group, one.device) for one in planned.changes for group in one.joins],
        leaving=[(group, one.device) for one in planned.changes for group in one.leaves],
        now=now,
    )
    if changed:
        for handler in state.device_handlers:
            handler(tx, changed, "", now)
    for wish in planned.newcomers:
        drawn = tokens.draw("lmt")
        tx.add(
            EnrollmentToken(
                id=drawn.id,
                secret_sha256=drawn.secret_sha256,
                created_at=now,
                created_by=actor,
                expires_at=now + state.settings.limits.bulk_token_s,
                device=wish.device,
                group=next(iter(wish.groups or ()), ""),
                serial=wish.serial,
                labels={key: value for key, value in wish.labels.items() if value},
            )
        )
        planned.tokens.append((wish.device, drawn.text))
    if not planned.changes and not planned.newcomers:
        return
    audit.record(
        tx, at=now, actor=actor, action="device.import", object="devices",
        after={
            "sha256": digest,
            "changed": len(planned.changes),
            "tokens": len(planned.tokens),
            "devices": [one.device for one in planned.changes[:AUDITED_MAX]],
        },
    )  # fmt: skip
    tx.announce("devices", *(f"device {one.device}" for one in planned.changes))
