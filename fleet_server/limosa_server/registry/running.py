"""Who runs what: moved with each report, never counted over the fleet (rollouts 3.6).

Give `on_reports` to `ServerState.report_handlers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import update
from sqlmodel import col, select

from limosa_contracts.reported import Installed, Reported
from limosa_server.access.scope import WHOLE, Scope
from limosa_server.state import Report
from limosa_server.store import Transaction
from limosa_server.tables.lifecycle import ReleaseCount, ReleaseDevice

LISTED_MAX: Final = 500  # devices in one answer; the rest is behind the filter of the devices' list


def on_reports(tx: Transaction, device: str, reports: Sequence[Report], now: float) -> None:
    """The last word of a device counts."""
    last = next((one for one in reversed(reports) if isinstance(one, Reported)), None)
    if last is not None:
        runs = {model.model: model.active for model in last.models if model.active is not None}
        count(tx, device, runs, now=now)


def forget(tx: Transaction, device: str, *, now: float) -> None:
    """A device that left the fleet runs nothing that counts."""
    count(tx, device, {}, now=now)


def count(tx: Transaction, device: str, runs: Mapping[str, Installed], *, now: float) -> None:
    """`runs`: what it runs of each model, all of them; counters move by what differs from before."""
    counted = {row.model: row for row in tx.exec(select(ReleaseDevice).where(ReleaseDevice.device == device))}
    for model, row in counted.items():
        active = runs.get(model)
        if active is None or active.index_sha256 != row.index_sha256:
            _add(tx, row.index_sha256, model, row.version, -1)
            if active is None:
                tx.delete(row)
    for model, active in runs.items():
        known = counted.get(model)
        if known is not None and known.index_sha256 == active.index_sha256:
            continue
        _add(tx, active.index_sha256, model, active.version, 1)
        row = known or ReleaseDevice(device=device, model=model, index_sha256="", version="", since=now)
        row.index_sha256, row.version, row.since = active.index_sha256, active.version, now
        tx.add(row)
        tx.announce("releases")


def _add(tx: Transaction, index_sha256: str, model: str, version: str, change: int) -> None:
    moved = tx.connection().execute(
        update(ReleaseCount)
        .where(col(ReleaseCount.index_sha256) == index_sha256)
        .values(devices=col(ReleaseCount.devices) + change)
    )
    if moved.rowcount == 0:
        tx.add(ReleaseCount(index_sha256=index_sha256, model=model, version=version, devices=max(0, change)))
        tx.flush()


def counts(tx: Transaction, indexes: Sequence[str]) -> dict[str, int]:
    """Devices by index digest; none for what nobody runs."""
    rows = tx.exec(
        select(ReleaseCount.index_sha256, ReleaseCount.devices).where(
            col(ReleaseCount.index_sha256).in_(indexes), col(ReleaseCount.devices) > 0
        )
    )
    return dict(rows.all())


def fleet_counts(tx: Transaction, *, model: str = "") -> list[ReleaseCount]:
    """Every release that somebody runs, most devices first within its model."""
    query = select(ReleaseCount).where(col(ReleaseCount.devices) > 0)
    if model:
        query = query.where(ReleaseCount.model == model)
    return list(
        tx.exec(
            query.order_by(
                col(ReleaseCount.model), col(ReleaseCount.devices).desc(), col(ReleaseCount.version)
            )
        )
    )


def devices_running(
    tx: Transaction, index_sha256: str, *, scope: Scope = WHOLE, limit: int = LISTED_MAX
) -> list[str]:
    """In the order of their names; those within `scope`."""
    query = (
        select(ReleaseDevice.device)
        .where(ReleaseDevice.index_sha256 == index_sha256, scope.devices(ReleaseDevice.device))
        .order_by(col(ReleaseDevice.device))
        .limit(limit)
    )
    return list(tx.exec(query))
