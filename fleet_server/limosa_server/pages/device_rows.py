"""What the pages read about devices: a filtered list, and one device with all that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import col, select

from limosa_server.access.scope import WHOLE, Scope
from limosa_server.fleet.inventory import DeviceFilter, DeviceOrder, find
from limosa_server.fleet.membership import groups_of
from limosa_server.pages.limits import LIMITS
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device, DeviceCertificate, DeviceLabel, DeviceModel
from limosa_server.tables.groups import Group
from limosa_server.tables.reports import EventRow, RefusedReport, WindowRow
from limosa_server.tables.rollouts import DesiredDocument, ExecutionRow, RolloutRow


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
    after: str  # where the next page begins
    groups: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]  # (model, version) that run somewhere


def device_list(
    tx: Transaction,
    wanted: DeviceFilter,
    *,
    order: DeviceOrder,
    after: str,
    now: float,
    scope: Scope,
) -> DeviceList:
    """`scope`: what the visitor may see."""
    conditions = wanted.conditions(now, scope)
    rows = find(tx, wanted, order=order, cursor=after, limit=LIMITS.rows_max + 1, now=now, scope=scope)
    versions = tx.exec(
        select(DeviceModel.model, DeviceModel.active_version)
        .where(
            DeviceModel.active_version != "",
            scope.models(DeviceModel.model),
            scope.devices(DeviceModel.device),
        )
        .distinct()
        .order_by(col(DeviceModel.model), col(DeviceModel.active_version))
        .limit(LIMITS.rows_max)
    ).all()
    return DeviceList(
        lines=_lines(tx, rows[: LIMITS.rows_max], scope),
        total=tx.exec(select(func.count()).select_from(Device).where(*conditions)).one(),
        more=len(rows) > LIMITS.rows_max,
        after=order.place_of(rows[LIMITS.rows_max - 1]) if len(rows) > LIMITS.rows_max else "",
        groups=tuple(tx.exec(select(Group.name).where(scope.groups(Group.name)).order_by(col(Group.name)))),
        versions=tuple((model, version) for model, version in versions),
    )


def _lines(tx: Transaction, rows: Sequence[Device], scope: Scope) -> tuple[DeviceLine, ...]:
    names = [row.id for row in rows]
    models: dict[str, list[DeviceModel]] = {}
    for model in tx.exec(
        select(DeviceModel)
        .where(col(DeviceModel.device).in_(names), scope.models(DeviceModel.model))
        .order_by(col(DeviceModel.model))
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


def device_view(tx: Transaction, device: Device, *, scope: Scope) -> DeviceView:
    name = device.id
    document = tx.get(DesiredDocument, name)
    runs = tx.exec(
        select(ExecutionRow, RolloutRow)
        .join(RolloutRow, col(RolloutRow.id) == col(ExecutionRow.rollout))
        .where(ExecutionRow.device == name, scope.rollouts(RolloutRow.model, RolloutRow.target))
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
        line=_lines(tx, [device], scope)[0],
        groups=groups_of(tx, name, scope),
        certificates=tuple(certificates),
        desired=(document.epoch, document.counter) if document is not None else None,
        executions=tuple((run, rollout) for run, rollout in runs),
        events=events(tx, limit=LIMITS.events_shown, device=name, scope=scope),
        windows=tuple(
            tx.exec(
                select(WindowRow)
                .where(WindowRow.device == name, scope.models(WindowRow.model))
                .order_by(col(WindowRow.id).desc())
                .limit(LIMITS.events_shown)
            )
        ),
        refused=tuple(tx.exec(select(RefusedReport).where(RefusedReport.device == name))),
    )


def events(tx: Transaction, *, limit: int, device: str = "", scope: Scope = WHOLE) -> tuple[EventRow, ...]:
    """The newest first."""
    query = select(EventRow).where(scope.models(EventRow.model))
    query = query.order_by(col(EventRow.id).desc()).limit(limit)
    return tuple(tx.exec(query.where(EventRow.device == device) if device else query).all())
