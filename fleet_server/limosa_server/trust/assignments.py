"""What devices shall run, read for many of them at once; the director signs it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import Text, cast
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from limosa_contracts.desired import DesiredModel, Trial
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject
from limosa_server.core.desired import Assignment
from limosa_server.core.rollout import SHADOW
from limosa_server.store import Transaction
from limosa_server.store.table_of import table_of
from limosa_server.tables.devices import DeviceModel
from limosa_server.tables.modes import ShadowAssignmentRow
from limosa_server.tables.permits import Permit
from limosa_server.tables.rollouts import AssignmentRow
from limosa_server.trust.permits import permit_for

Step: TypeAlias = tuple[str, str, str]  # model, from version, to version
_TABLE: Final = table_of(AssignmentRow)
_JSON: Final = ("trial", "windows")  # as text: reading it once for all who are told the same
_COLUMNS: Final = tuple(
    cast(one, Text).label(one.name) if one.name in _JSON else one
    for one in _TABLE.columns
    if one.name != "updated_at"
)


def assignments(tx: Transaction, devices: Sequence[str]) -> dict[str, list[Assignment]]:
    """Of each of these, the challengers beside too. For one round of devices."""
    found: dict[str, list[Assignment]] = {device: [] for device in devices}
    rows = tx.connection().execute(select_columns(*_COLUMNS).where(_TABLE.c.device.in_(devices))).all()
    permits = _permits(tx, rows)
    made: dict[tuple[Any, ...], Assignment] = {}  # most devices of a wave are told the same
    for row in rows:
        permit = permits.get((row.device, row.model))
        same = (json.dumps(permit, sort_keys=True) if permit else "", *row[1:])
        if same not in made:
            made[same] = _assignment(row, permit)
        found[row.device].append(made[same])
    for device, beside in _beside(tx, devices).items():
        found[device] += beside
    return found


def _beside(tx: Transaction, devices: Sequence[str]) -> dict[str, list[Assignment]]:
    """The challengers of those that have one, for their desired documents. For one round of devices."""
    rows = tx.exec(select(ShadowAssignmentRow).where(col(ShadowAssignmentRow.device).in_(devices))).all()
    found: dict[str, list[Assignment]] = {}
    for row in rows:
        one = Assignment(
            model=DesiredModel(
                model=row.model,
                version=row.version,
                index_sha256=row.index_sha256,
                mode=SHADOW,
                rollout=str(row.rollout),
                attempt=row.attempt,
            ),
            report_every_s=row.report_every_s,
            report_every_in_probation_s=row.report_every_in_probation_s,
        )
        found.setdefault(row.device, []).append(one)
    return found


def _permits(tx: Transaction, rows: Sequence[Any]) -> dict[tuple[str, str], JsonObject]:
    """trust 2.4: (device, model) -> the permit for the step from what the device last said it runs."""
    models = sorted({row.model for row in rows})
    steps = select_columns(col(Permit.model), col(Permit.from_version), col(Permit.to_version))
    known: set[Step] = {
        (model, before, after)
        for model, before, after in tx.execute(steps.where(col(Permit.model).in_(models)))
    }
    if not known:
        return {}
    said = select_columns(col(DeviceModel.device), col(DeviceModel.model), col(DeviceModel.active_version))
    running = {
        (device, model): version
        for device, model, version in tx.execute(
            said.where(col(DeviceModel.device).in_({row.device for row in rows}))
        )
    }
    found: dict[tuple[str, str], JsonObject] = {}
    for row in rows:
        place = (row.device, row.model)
        before = running.get(place, "")
        if (row.model, before, row.version) in known:
            permit = permit_for(tx, row.model, running=before, wanted=row.version)
            if permit is not None:
                found[place] = permit
    return found


def _assignment(row: Any, permit: JsonObject | None) -> Assignment:
    return Assignment(
        model=DesiredModel(
            model=row.model,
            version=row.version,
            index_sha256=row.index_sha256,
            rollout=row.rollout,
            attempt=row.attempt,
            trial=Trial.parse(Fields(json.loads(row.trial), where="trial")),
            window=json.loads(row.windows) or None,
            permit=permit,
        ),
        report_every_s=row.report_every_s,
        report_every_in_probation_s=row.report_every_in_probation_s,
    )
