"""Notes a device's trouble in the transaction that commits its report, and strikes it out again.

Nothing is searched for later: an alert reads these rows, of which a healthy fleet has none (server 7).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import delete
from sqlmodel import col, select

from limosa_contracts.reported import Reported
from limosa_contracts.window import Window
from limosa_server.core.alerts.troubles import FAILING, REPORTED_KINDS, Trouble, of_reported, of_window
from limosa_server.state import Report
from limosa_server.store import Store, Transaction
from limosa_server.tables.alerts import DeviceTrouble


@dataclass(slots=True)
class TroubleNotes:
    """A report handler. It remembers which devices may have rows, so that a report of a healthy device
    costs no query; the memory may name too many, never too few."""

    noted: set[str] = field(default_factory=set)

    @classmethod
    def over(cls, store: Store) -> TroubleNotes:
        with store.read() as tx:
            return cls(set(tx.exec(select(DeviceTrouble.device).distinct())))

    def on_reports(self, tx: Transaction, device: str, reports: Sequence[Report], now: float) -> None:
        last = next((one for one in reversed(reports) if isinstance(one, Reported)), None)
        windows = {one.model: one for one in reports if isinstance(one, Window)}
        if last is not None:
            self._set(tx, device, of_reported(last), kinds=REPORTED_KINDS, models=None, now=now)
        for model, window in windows.items():
            trouble = of_window(window)
            found = [trouble] if trouble is not None else []
            self._set(tx, device, found, kinds=frozenset({FAILING}), models=model, now=now)

    def _set(
        self,
        tx: Transaction,
        device: str,
        found: Iterable[Trouble],
        *,
        kinds: frozenset[str],
        models: str | None,
        now: float,
    ) -> None:
        """What is found holds; of these kinds (and this model) nothing else does."""
        wanted = {(one.kind, one.model): one for one in found}
        if device not in self.noted and not wanted:
            return
        self.noted.add(device)
        query = select(DeviceTrouble).where(
            DeviceTrouble.device == device, col(DeviceTrouble.kind).in_(sorted(kinds))
        )
        if models is not None:
            query = query.where(DeviceTrouble.model == models)
        rows = {(row.kind, row.model): row for row in tx.exec(query)}
        for key, row in rows.items():
            if key not in wanted:
                tx.delete(row)
        for key, one in wanted.items():
            known = rows.get(key)
            same = known is not None and (known.version, known.cause) == (one.version, one.cause)
            if known is not None and same and known.detail == one.detail:
                continue
            row = known or DeviceTrouble(
                device=device, kind=one.kind, model=one.model, version="", since=now, cause="", detail=""
            )
            row.version, row.cause, row.detail = one.version, one.cause, one.detail
            row.since = row.since if same else now
            tx.add(row)


def forget(tx: Transaction, device: str) -> None:
    """A device that left the fleet troubles nobody."""
    tx.execute(delete(DeviceTrouble).where(col(DeviceTrouble.device) == device))
