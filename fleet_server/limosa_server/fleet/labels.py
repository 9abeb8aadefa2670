"""Labels of devices: what each source says, and which of it holds.

Of one key the operator's label goes before the enrolment token's, and that before the device's own.
What was covered comes back when the label above it is taken away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from sqlalchemy import bindparam, delete
from sqlmodel import SQLModel, col, select

from limosa_contracts.errors import InvalidField
from limosa_contracts.names import LABEL_KEY, LABEL_VALUE
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.store.upsert import insert
from limosa_server.tables.devices import DeviceLabel, LabelSource

DEVICE: Final = "device"
TOKEN: Final = "token"  # noqa: S105  # who says it
OPERATOR: Final = "operator"
SOURCES: Final = (OPERATOR, TOKEN, DEVICE)
"""The highest first."""

Labels: TypeAlias = Mapping[str, str]
Said: TypeAlias = dict[str, dict[str, str]]  # source -> key -> value
Holds: TypeAlias = dict[str, tuple[str, str]]  # key -> (value, source)


def check_labels(labels: Labels) -> None:
    """Raises InvalidField."""
    for key, value in labels.items():
        if not LABEL_KEY.fullmatch(key) or not LABEL_VALUE.fullmatch(value):
            raise InvalidField(
                f"{key[:80]!r}: {value[:80]!r} is not a valid label",
                where="labels",
                why="letters, digits, . _ - only, beginning and ending with a letter or digit",
            )


def holding(said: Mapping[str, Labels]) -> Holds:
    """key -> (value, source) of what holds. Pure.

    >>> holding({"device": {"site": "lab", "gpu": ""}, "operator": {"site": "hq"}})
    {'gpu': ('', 'device'), 'site': ('hq', 'operator')}
    """
    found: Holds = {}
    for source in reversed(SOURCES):
        found.update({key: (value, source) for key, value in said.get(source, {}).items()})
    return dict(sorted(found.items()))


def set_labels(tx: Transaction, device: str, labels: Labels, *, source: str) -> bool:
    """Makes `labels` those of this source; others keep theirs. Whether what holds is another now."""
    return bool(set_many(tx, {device: labels}, source=source))


def set_many(tx: Transaction, labels: Mapping[str, Labels], *, source: str) -> list[str]:
    """The same for many devices, in a number of statements that does not grow with them.

    Gives the devices of which other labels hold now, sorted.
    """
    tx.flush()
    changed: list[str] = []
    for devices in in_rounds(sorted(labels)):
        said = said_of(tx, devices)
        before = {
            device: said[device] for device in devices if said[device].get(source, {}) != dict(labels[device])
        }
        after = {device: {**mine, source: dict(labels[device])} for device, mine in before.items()}
        _write_sources(tx, before, after, source)
        changed += _write_holding(tx, before, after)
    return changed


def what_holds(tx: Transaction, devices: Sequence[str]) -> dict[str, Holds]:
    """device -> key -> (value, source), also of those without any. For as many as one page shows."""
    found: dict[str, Holds] = {device: {} for device in devices}
    rows = tx.exec(
        select(DeviceLabel.device, DeviceLabel.key, DeviceLabel.value, DeviceLabel.source)
        .where(col(DeviceLabel.device).in_(devices))
        .order_by(col(DeviceLabel.key))
    )
    for device, key, value, source in rows:
        found[device][key] = (value, source)
    return found


def said_by(tx: Transaction, device: str, source: str) -> dict[str, str]:
    """What one source says of one device, whether it holds or not."""
    return said_of(tx, [device])[device].get(source, {})


def reread(tx: Transaction, kind: type[SQLModel]) -> None:
    """Rows of this kind that the session has read are not what the table holds any more."""
    for row in list(tx.identity_map.values()):
        if isinstance(row, kind):
            tx.expire(row)


def said_of(tx: Transaction, devices: Sequence[str]) -> dict[str, Said]:
    """device -> source -> key -> value, also of those without any. For one round of devices."""
    found: dict[str, Said] = {device: {} for device in devices}
    rows = tx.exec(
        select(LabelSource.device, LabelSource.source, LabelSource.key, LabelSource.value).where(
            col(LabelSource.device).in_(devices)
        )
    )
    for device, source, key, value in rows:
        found[device].setdefault(source, {})[key] = value
    return found


def _write_sources(
    tx: Transaction, before: Mapping[str, Said], after: Mapping[str, Said], source: str
) -> None:
    gone = [
        {"of": device, "named": key}
        for device, said in before.items()
        for key in said.get(source, {}).keys() - after[device][source].keys()
    ]
    new = [
        {"device": device, "key": key, "source": source, "value": value}
        for device, said in after.items()
        for key, value in said[source].items()
        if before[device].get(source, {}).get(key) != value
    ]
    if gone:
        table = LabelSource
        tx.connection().execute(
            delete(table).where(
                col(table.device) == bindparam("of"),
                col(table.key) == bindparam("named"),
                col(table.source) == source,
            ),
            gone,
        )
    if new:
        statement = insert(tx, LabelSource)
        tx.connection().execute(
            statement.on_conflict_do_update(
                index_elements=["device", "key", "source"], set_={"value": statement.excluded.value}
            ),
            new,
        )


def _write_holding(tx: Transaction, before: Mapping[str, Said], after: Mapping[str, Said]) -> list[str]:
    """Where something else holds now. A change of source alone is written, and changes no membership."""
    gone, new, changed = [], [], []
    for device, said in after.items():
        old, now = holding(before[device]), holding(said)
        gone += [{"of": device, "named": key} for key in sorted(old.keys() - now.keys())]
        new += [
            {"device": device, "key": key, "value": value, "source": source}
            for key, (value, source) in now.items()
            if old.get(key) != (value, source)
        ]
        if {key: value for key, (value, _) in old.items()} != {key: value for key, (value, _) in now.items()}:
            changed.append(device)
    if gone:
        table = DeviceLabel
        tx.connection().execute(
            delete(table).where(col(table.device) == bindparam("of"), col(table.key) == bindparam("named")),
            gone,
        )
    if new:
        statement = insert(tx, DeviceLabel)
        tx.connection().execute(
            statement.on_conflict_do_update(
                index_elements=["device", "key"],
                set_={"value": statement.excluded.value, "source": statement.excluded.source},
            ),
            new,
        )
    if gone or new:
        reread(tx, DeviceLabel)
    return changed
