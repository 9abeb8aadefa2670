"""Notes a device's trouble in the transaction that commits its report, and strikes it out again.

Nothing is searched for later: an alert reads these rows, of which a healthy fleet has none (server 7).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from sqlalchemy import delete
from sqlmodel import col, select

from limosa_contracts.json_value import JsonValue
from limosa_contracts.reported import Reported
from limosa_contracts.window import Window
from limosa_server.core.alerts.troubles import FAILING, REPORTED_KINDS, Trouble, of_reported, of_window
from limosa_server.fleet.departure import Departure
from limosa_server.state import News, Report
from limosa_server.store import Store, Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.tables.alerts import DeviceTrouble

_Key: TypeAlias = tuple[str, str]  # kind, model
_About: TypeAlias = tuple[str, frozenset[str], str | None]
"""(device, kinds, model): of these kinds (and this model, None for all) nothing else holds."""
_OF_WINDOWS: Final = frozenset({FAILING})


@dataclass(slots=True)
class TroubleNotes:
    """A report handler. It remembers which devices may have rows, so that a report of a healthy device
    costs no query; the memory may name too many, never too few."""

    noted: set[str] = field(default_factory=set)

    @classmethod
    def over(cls, store: Store) -> TroubleNotes:
        with store.read() as tx:
            return cls(set(tx.exec(select(DeviceTrouble.device).distinct())))

    def on_reports(self, tx: Transaction, news: News, now: float) -> None:
        """Of each device the last word counts; of its windows the last of each model."""
        wanted: dict[_About, dict[_Key, Trouble]] = {}
        for device, reports in news.items():
            for about, found in _told(device, reports):
                if found or device in self.noted:
                    wanted[about] = {(one.kind, one.model): one for one in found}
        if not wanted:
            return
        self.noted.update(device for (device, _, _), found in wanted.items() if found)
        rows = _rows(tx, sorted({device for device, _, _ in wanted}))
        for (device, kinds, model), holds in wanted.items():
            mine = rows.setdefault(device, {})
            for key in [one for one in mine if one[0] in kinds and model in (None, one[1])]:
                if key not in holds:
                    tx.delete(mine.pop(key))
            for key, trouble in holds.items():
                mine[key] = _noted(tx, device, mine.get(key), trouble, now)


def _told(device: str, reports: Sequence[Report]) -> Iterator[tuple[_About, list[Trouble]]]:
    last = next((one for one in reversed(reports) if isinstance(one, Reported)), None)
    if last is not None:
        yield (device, REPORTED_KINDS, None), list(of_reported(last))
    served = {one.model: one for one in reports if isinstance(one, Window) and not one.of_challenger}
    for model, window in served.items():
        trouble = of_window(window)
        yield (device, _OF_WINDOWS, model), [trouble] if trouble is not None else []


def _rows(tx: Transaction, devices: Sequence[str]) -> dict[str, dict[_Key, DeviceTrouble]]:
    found: dict[str, dict[_Key, DeviceTrouble]] = {}
    for some in in_rounds(devices):
        for row in tx.exec(select(DeviceTrouble).where(col(DeviceTrouble.device).in_(some))):
            found.setdefault(row.device, {})[row.kind, row.model] = row
    return found


def _noted(
    tx: Transaction, device: str, known: DeviceTrouble | None, one: Trouble, now: float
) -> DeviceTrouble:
    same = known is not None and (known.version, known.cause) == (one.version, one.cause)
    if known is not None and same and known.detail == one.detail:
        return known
    row = known or DeviceTrouble(
        device=device, kind=one.kind, model=one.model, version="", since=now, cause="", detail=""
    )
    row.version, row.cause, row.detail = one.version, one.cause, one.detail
    row.since = row.since if same else now
    tx.add(row)
    return row


def on_leaving(tx: Transaction, gone: Departure) -> Mapping[str, JsonValue]:
    """A device that left the fleet troubles nobody."""
    tx.execute(delete(DeviceTrouble).where(col(DeviceTrouble.device) == gone.device))
    return {}
