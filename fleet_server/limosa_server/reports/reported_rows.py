"""What devices say of themselves, as rows: the last word of each holds."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import bindparam, delete, tuple_, update
from sqlmodel import col, select

from limosa_contracts.reported import Installed, Reported, ReportedModel
from limosa_server.store import Transaction
from limosa_server.store.table_of import table_of
from limosa_server.store.upsert import insert
from limosa_server.tables.devices import Device, DeviceModel


def store(tx: Transaction, said: Mapping[str, Reported], now: float) -> None:
    """`said`: the last report of each device."""
    if not said:
        return
    connection = tx.connection()
    table = table_of(Device)
    connection.execute(
        update(table).where(table.c.id == bindparam("of_device")),
        [_device_values(reported, now) for reported in said.values()],
    )
    _forget_models(tx, said)
    rows = [
        {"device": device, "model": model.model, **_model_values(model, now)}
        for device, reported in said.items()
        for model in reported.models
    ]
    if rows:
        statement = insert(tx, DeviceModel)
        changing = [name for name in rows[0] if name not in ("device", "model")]
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["device", "model"],
                set_={name: statement.excluded[name] for name in changing},
            ),
            rows,
        )


def _forget_models(tx: Transaction, said: Mapping[str, Reported]) -> None:
    """Those that a device does not name any more."""
    kept = {(device, model.model) for device, reported in said.items() for model in reported.models}
    query = select(DeviceModel.device, DeviceModel.model).where(col(DeviceModel.device).in_(said))
    gone = [(device, model) for device, model in tx.exec(query) if (device, model) not in kept]
    if gone:
        tx.execute(
            delete(DeviceModel).where(tuple_(col(DeviceModel.device), col(DeviceModel.model)).in_(gone))
        )


def _device_values(reported: Reported, now: float) -> dict[str, object]:
    profile = reported.capabilities.get("profile")
    return {
        "of_device": reported.device,
        "agent": reported.agent,
        "boot": reported.boot,
        "clock": reported.clock,
        "desired_epoch": reported.desired[0],
        "desired_counter": reported.desired[1],
        "capabilities": dict(reported.capabilities),
        "resources": dict(reported.resources),
        "profile": profile[:64] if isinstance(profile, str) else "",
        "reported_at": now,
    }


def _model_values(model: ReportedModel, now: float) -> dict[str, object]:
    def version(installed: Installed | None) -> str:
        return installed.version if installed else ""

    active, candidate = model.active, model.candidate
    return {
        "phase": model.phase.value,
        "active_version": version(active),
        "active_index": active.index_sha256 if active else "",
        "active_manifest": active.manifest_sha256 if active else "",
        "active_variant": active.variant if active else "",
        "previous_version": version(model.previous),
        "candidate_version": version(candidate),
        "candidate_index": candidate.index_sha256 if candidate else "",
        "rollout": model.rollout,
        "attempt": model.attempt,
        "reason": model.reason,
        "quarantined": list(model.quarantined),
        "updated_at": now,
    }
