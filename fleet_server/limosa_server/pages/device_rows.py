"""What the pages read about devices: a filtered list, and one device with all that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, func
from sqlmodel import col, or_, select

from limosa_contracts.phases import Phase
from limosa_server.pages.limits import LIMITS
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device, DeviceCertificate, DeviceLabel, DeviceModel
from limosa_server.tables.groups import Membership
from limosa_server.tables.reports import EventRow, RefusedReport, WindowRow
from limosa_server.tables.rollouts import DesiredDocument, ExecutionRow, RolloutRow

TROUBLE: Final = (Phase.REJECTED.value, Phase.FALLING_BACK.value, Phase.FELL_BACK.value)
_SETTLED: Final = (*TROUBLE, Phase.IDLE.value, Phase.COMMITTED.value, Phase.REMOVED.value)
STATES: Final = ("online", "offline", "unreachable", "updating", "trouble", "revoked")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFilter:
    """As it stands in the address. "" leaves a criterion out; `version` is `1.0.0` or `team/model@1.0.0`."""

    state: str = ""
    group: str = ""
    version: str = ""
    text: str = ""

    def conditions(self, now: float) -> list[ColumnElement[bool]]:
        active = col(Device.state) == "active"
        found: list[ColumnElement[bool]] = [active] if self.state != "revoked" else []
        match self.state:
            case "revoked":
                found.append(col(Device.state) == "revoked")
            case "online":
                found.append(col(Device.online).is_(True))
            case "offline":
                found.append(col(Device.online).is_(False))
            case "unreachable":
                found.append(unreachable(now))
            case "trouble":
                found.append(_has_model(col(DeviceModel.phase).in_(TROUBLE)))
            case "updating":
                found.append(_has_model(col(DeviceModel.phase).not_in(_SETTLED)))
            case _:
                pass
        if self.group:
            found.append(col(Device.id).in_(select(Membership.device).where(Membership.group == self.group)))
        if self.version:
            found.append(_runs(self.version))
        if self.text:
            found.append(_says(self.text))
        return found


def unreachable(now: float) -> ColumnElement[bool]:
    """Offline for longer than a restart takes; counted from enrolment if it was never seen."""
    last = func.coalesce(col(Device.last_seen), col(Device.enrolled_at))
    return col(Device.online).is_(False) & (last < now - LIMITS.unreachable_after_s)


def _has_model(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return col(Device.id).in_(select(DeviceModel.device).where(condition))


def _runs(version: str) -> ColumnElement[bool]:
    model, _, number = version.rpartition("@")
    condition = col(DeviceModel.active_version) == number
    return _has_model(condition & (col(DeviceModel.model) == model) if model else condition)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLine:
    """One row of the list."""

    device: Device
    models: tuple[DeviceModel, ...]
    labels: tuple[DeviceLabel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceList:
    lines: tuple[DeviceLine, ...]
    total: int
    more: bool
    groups: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]  # (model, version) that run somewhere


def device_list(tx: Transaction, wanted: DeviceFilter, *, after: str, now: float) -> DeviceList:
    conditions = wanted.conditions(now)
    query = select(Device).where(*conditions, Device.id > after).order_by(col(Device.id))
    rows = tx.exec(query.limit(LIMITS.rows_max + 1)).all()
    versions = tx.exec(
        select(DeviceModel.model, DeviceModel.active_version)
        .where(DeviceModel.active_version != "")
        .distinct()
        .order_by(col(DeviceModel.model), col(DeviceModel.active_version))
        .limit(LIMITS.rows_max)
    ).all()
    return DeviceList(
        lines=_lines(tx, rows[: LIMITS.rows_max]),
        total=tx.exec(select(func.count()).select_from(Device).where(*conditions)).one(),
        more=len(rows) > LIMITS.rows_max,
        groups=tuple(tx.exec(select(Membership.group).distinct().order_by(col(Membership.group)))),
        versions=tuple((model, version) for model, version in versions),
    )


def _lines(tx: Transaction, rows: Sequence[Device]) -> tuple[DeviceLine, ...]:
    names = [row.id for row in rows]
    models: dict[str, list[DeviceModel]] = {}
    for model in tx.exec(
        select(DeviceModel).where(col(DeviceModel.device).in_(names)).order_by(col(DeviceModel.model))
    ):
        models.setdefault(model.device, []).append(model)
    labels: dict[str, list[DeviceLabel]] = {}
    for label in tx.exec(
        select(DeviceLabel).where(col(DeviceLabel.device).in_(names)).order_by(col(DeviceLabel.key))
    ):
        labels.setdefault(label.device, []).append(label)
    return tuple(
        DeviceLine(device=row, models=tuple(models.get(row.id, ())), labels=tuple(labels.get(row.id, ())))
        for row in rows
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceView:
    """One device; what was issued to it beside what it has accepted."""

    line: DeviceLine
    groups: tuple[str, ...]
    certificates: tuple[DeviceCertificate, ...]  # valid ones, the newest first
    desired: tuple[int, int] | None
    executions: tuple[tuple[ExecutionRow, RolloutRow], ...]
    events: tuple[EventRow, ...]
    windows: tuple[WindowRow, ...]
    refused: tuple[RefusedReport, ...]


def device_view(tx: Transaction, device: Device) -> DeviceView:
    name = device.id
    document = tx.get(DesiredDocument, name)
    runs = tx.exec(
        select(ExecutionRow, RolloutRow)
        .join(RolloutRow, col(RolloutRow.id) == col(ExecutionRow.rollout))
        .where(ExecutionRow.device == name)
        .order_by(col(ExecutionRow.rollout).desc())
        .limit(LIMITS.events_shown)
    ).all()
    certificates = tx.exec(
        select(DeviceCertificate)
        .where(DeviceCertificate.device == name, col(DeviceCertificate.revoked_at).is_(None))
        .order_by(col(DeviceCertificate.not_after).desc())
        .limit(3)
    ).all()
    return DeviceView(
        line=_lines(tx, [device])[0],
        groups=tuple(
            tx.exec(select(Membership.group).where(Membership.device == name).order_by(col(Membership.group)))
        ),
        certificates=tuple(certificates),
        desired=(document.epoch, document.counter) if document is not None else None,
        executions=tuple((run, rollout) for run, rollout in runs),
        events=events(tx, limit=LIMITS.events_shown, device=name),
        windows=tuple(
            tx.exec(
                select(WindowRow)
                .where(WindowRow.device == name)
                .order_by(col(WindowRow.id).desc())
                .limit(LIMITS.events_shown)
            )
        ),
        refused=tuple(tx.exec(select(RefusedReport).where(RefusedReport.device == name))),
    )


def events(tx: Transaction, *, limit: int, device: str = "") -> tuple[EventRow, ...]:
    """The newest first."""
    query = select(EventRow).order_by(col(EventRow.id).desc()).limit(limit)
    return tuple(tx.exec(query.where(EventRow.device == device) if device else query).all())
