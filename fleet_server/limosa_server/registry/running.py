"""Who runs what: moved with each report, never counted over the fleet (rollouts 3.6).

Give `on_reports` to `ServerState.report_handlers`, `on_leaving` to its `leaving_handlers`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from sqlalchemy import bindparam, delete, update
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from limosa_contracts.json_value import JsonValue
from limosa_contracts.reported import Installed, Reported
from limosa_server.access.scope import WHOLE, Scope
from limosa_server.fleet.departure import Departure
from limosa_server.state import News
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.store.upsert import insert
from limosa_server.tables.lifecycle import ReleaseCount, ReleaseDevice

Runs: TypeAlias = Mapping[str, Installed]
"""model -> what runs of it."""
_Release: TypeAlias = tuple[str, str, str]  # index digest, model, version
LISTED_MAX: Final = 500  # devices in one answer; the rest is behind the filter of the devices' list


def on_reports(tx: Transaction, news: News, now: float) -> None:
    """The last word of each device counts."""
    said: dict[str, Runs] = {}
    for device, reports in news.items():
        last = next((one for one in reversed(reports) if isinstance(one, Reported)), None)
        if last is not None:
            said[device] = {model.model: model.active for model in last.models if model.active is not None}
    count_many(tx, said, now=now)


def on_leaving(tx: Transaction, gone: Departure) -> Mapping[str, JsonValue]:
    """A device that left the fleet runs nothing that counts."""
    count(tx, gone.device, {}, now=gone.at)
    return {}


def count(tx: Transaction, device: str, runs: Runs, *, now: float) -> None:
    """`runs`: what it runs of each model, all of them; counters move by what differs from before."""
    count_many(tx, {device: runs}, now=now)


def count_many(tx: Transaction, said: Mapping[str, Runs], *, now: float) -> None:
    """The same of many devices, in a number of statements that does not grow with them."""
    gone: list[dict[str, object]] = []
    new: list[dict[str, object]] = []
    moved: Counter[_Release] = Counter()
    for some in in_rounds(sorted(said)):
        counted = _counted(tx, some)
        for device in some:
            before, runs = counted.get(device, {}), said[device]
            for model, release in before.items():
                active = runs.get(model)
                if active is None or active.index_sha256 != release[0]:
                    moved[release] -= 1
                if active is None:
                    gone.append({"of_device": device, "of_model": model})
            for model, active in runs.items():
                if model in before and before[model][0] == active.index_sha256:
                    continue
                moved[active.index_sha256, model, active.version] += 1
                new.append(
                    {
                        "device": device, "model": model, "index_sha256": active.index_sha256,
                        "version": active.version, "since": now,
                    }
                )  # fmt: skip
    for (index_sha256, model, version), change in sorted(moved.items()):
        _add(tx, index_sha256, model, version, change)
    _write(tx, gone, new)
    if new:
        tx.announce("releases")


def _counted(tx: Transaction, devices: Sequence[str]) -> dict[str, dict[str, _Release]]:
    found: dict[str, dict[str, _Release]] = {}
    row = ReleaseDevice
    query = select_columns(col(row.device), col(row.model), col(row.index_sha256), col(row.version))
    for device, model, index_sha256, version in tx.execute(query.where(col(row.device).in_(devices))):
        found.setdefault(device, {})[model] = (index_sha256, model, version)
    return found


def _write(tx: Transaction, gone: list[dict[str, object]], new: list[dict[str, object]]) -> None:
    if gone:
        tx.connection().execute(
            delete(ReleaseDevice).where(
                col(ReleaseDevice.device) == bindparam("of_device"),
                col(ReleaseDevice.model) == bindparam("of_model"),
            ),
            gone,
        )
    if new:
        statement = insert(tx, ReleaseDevice)
        changing = ("index_sha256", "version", "since")
        tx.connection().execute(
            statement.on_conflict_do_update(
                index_elements=["device", "model"],
                set_={name: statement.excluded[name] for name in changing},
            ),
            new,
        )


def _add(tx: Transaction, index_sha256: str, model: str, version: str, change: int) -> None:
    if change == 0:
        return
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
