"""Which devices are looked for, and in which order: one filter for pages, API, CSV and commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, false, func
from sqlmodel import col, or_, select

from limosa_contracts.canonical import encode_canonical, parse_json
from limosa_contracts.errors import InvalidField, InvalidJson
from limosa_contracts.phases import Phase
from limosa_contracts.selector import Selector
from limosa_server.access.scope import WHOLE, Scope
from limosa_server.core.device_state import GONE, DeviceState
from limosa_server.fleet.selector_sql import selected
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device, DeviceLabel, DeviceModel
from limosa_server.tables.groups import Membership

TROUBLE: Final = (Phase.REJECTED.value, Phase.FALLING_BACK.value, Phase.FELL_BACK.value)
SETTLED: Final = (*TROUBLE, Phase.IDLE.value, Phase.COMMITTED.value, Phase.REMOVED.value)
UNREACHABLE_AFTER_S: Final = 900.0  # offline for longer than a restart or a bad moment takes
TEXT_MAX_CHARS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFilter:
    """As it stands in the address. "" leaves a criterion out; `version` is `1.0.0` or `team/model@1.0.0`;
    `state` "active" is every device of the fleet, "all" also those that left."""

    state: str = ""
    group: str = ""
    version: str = ""
    text: str = ""
    selector: Selector | None = None
    nobody: bool = False  # what was asked for could not be read: a mistake must not look like everybody

    def conditions(self, now: float, scope: Scope) -> list[ColumnElement[bool]]:
        """`scope`: what lies beyond it can be asked for as little as it can be seen."""
        if self.nobody or (self.group and not scope.sees_group(self.group)):
            return [false()]
        found = [*self._state(now, scope), scope.devices(Device.id)]
        if self.group:
            found.append(col(Device.id).in_(select(Membership.device).where(Membership.group == self.group)))
        if self.version:
            found.append(_runs(self.version, scope))
        if self.text:
            found.append(_says(self.text))
        if self.selector is not None:
            found.append(selected(self.selector))
        return found

    def _state(self, now: float, scope: Scope) -> list[ColumnElement[bool]]:
        # Not "= active": SQLite would take the index on the state and sort the whole fleet for each page.
        active = col(Device.state).not_in(GONE)
        match self.state:
            case DeviceState.REVOKED | DeviceState.DECOMMISSIONED:
                return [col(Device.state) == self.state]
            case "online":
                return [active, col(Device.online).is_(True)]
            case "offline":
                return [active, col(Device.online).is_(False)]
            case "unreachable":
                return [active, unreachable(now)]
            case "trouble":
                return [active, _has_model(col(DeviceModel.phase).in_(TROUBLE), scope)]
            case "updating":
                return [active, _has_model(col(DeviceModel.phase).not_in(SETTLED), scope)]
            case "all":
                return []
            case _:
                return [active]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOrder:
    """By one column and then by id; devices that were never seen count as seen at 0."""

    by: str = "id"
    descending: bool = False

    @property
    def _key(self) -> Any:
        match self.by:
            case "last_seen":
                return func.coalesce(col(Device.last_seen), 0.0)
            case "enrolled_at" | "profile" | "agent":
                return col(getattr(Device, self.by))
            case _:
                return None

    def after(self, cursor: str) -> list[ColumnElement[bool]]:
        """The condition of the page that begins behind `cursor`, "" for the first. Raises InvalidField."""
        if not cursor:
            return []
        key = self._key
        if key is None:
            return [col(Device.id) < cursor if self.descending else col(Device.id) > cursor]
        value, device = _place(cursor, number=self.by in ("last_seen", "enrolled_at"))
        beyond = key < value if self.descending else key > value
        return [or_(beyond, and_(key == value, col(Device.id) > device))]

    def columns(self) -> Sequence[Any]:
        key = self._key
        if key is None:
            return [col(Device.id).desc() if self.descending else col(Device.id)]
        return [key.desc() if self.descending else key, col(Device.id)]

    def place_of(self, row: Device) -> str:
        """The cursor behind this row."""
        if self._key is None:
            return row.id
        return encode_canonical([getattr(row, self.by) or _nothing(self.by), row.id]).decode()


def find(
    tx: Transaction,
    wanted: DeviceFilter,
    *,
    order: DeviceOrder,
    cursor: str,
    limit: int,
    now: float,
    scope: Scope = WHOLE,
) -> Sequence[Device]:
    """Up to `limit` rows within `scope`. Raises InvalidField for a cursor of none of ours."""
    query = select(Device).where(*wanted.conditions(now, scope), *order.after(cursor))
    return tx.exec(query.order_by(*order.columns()).limit(limit)).all()


def unreachable(now: float, after_s: float = UNREACHABLE_AFTER_S) -> ColumnElement[bool]:
    """Offline for longer than a restart takes; counted from enrolment if it was never seen."""
    last = func.coalesce(col(Device.last_seen), col(Device.enrolled_at))
    return col(Device.online).is_(False) & (last < now - after_s)


def _nothing(by: str) -> str | float:
    return 0.0 if by in ("last_seen", "enrolled_at") else ""


def _place(cursor: str, *, number: bool) -> tuple[Any, str]:
    try:
        value = parse_json(cursor.encode(), what="cursor")
    except InvalidJson as error:
        raise InvalidField("not a cursor of this order", where="cursor") from error
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], str):
        raise InvalidField("not a cursor of this order", where="cursor")
    first = value[0]
    if isinstance(first, bool) or not isinstance(first, (int, float) if number else str):
        raise InvalidField("not a cursor of this order", where="cursor")
    return first, value[1]


def _has_model(condition: ColumnElement[bool], scope: Scope) -> ColumnElement[bool]:
    return col(Device.id).in_(select(DeviceModel.device).where(condition, scope.models(DeviceModel.model)))


def _runs(version: str, scope: Scope) -> ColumnElement[bool]:
    model, _, number = version.rpartition("@")
    condition = col(DeviceModel.active_version) == number
    return _has_model(condition & (col(DeviceModel.model) == model) if model else condition, scope)


def _says(text: str) -> ColumnElement[bool]:
    """Part of its name, serial number or profile, or of a label's value; `key=value` is one label."""
    key, equals, value = text.partition("=")
    wanted = col(DeviceLabel.value).contains(text, autoescape=True)
    if equals:
        wanted = (col(DeviceLabel.key) == key.strip()) & (col(DeviceLabel.value) == value.strip())
    return or_(
        *(
            column.contains(text, autoescape=True)
            for column in (col(Device.id), col(Device.serial), col(Device.profile))
        ),
        col(Device.id).in_(select(DeviceLabel.device).where(wanted)),
    )
