"""Hangs groups and rollouts into the server: `controller = rollout_hooks.install(state)`.

The caller then runs `controller.tick()` every `settings.tick_s`, and at once when a commit announces
`CONTROLLER` (`limosa_server.rollout_ingest`).
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlmodel import col, select

from limosa_server import groups
from limosa_server.controller import Controller
from limosa_server.director import Director
from limosa_server.rollout_ingest import on_reports
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.groups import Group
from limosa_server.tables.rollouts import DesiredDocument


class DesiredDocuments:
    """The signed documents, for the bus and for HTTPS (a `state.DesiredSource`)."""

    def one(self, tx: Transaction, device: str) -> bytes | None:
        row = tx.get(DesiredDocument, device)
        return row.envelope if row is not None else None

    def every(self, tx: Transaction) -> Iterable[tuple[str, bytes]]:
        query = select(DesiredDocument).order_by(col(DesiredDocument.device))
        return [(row.device, row.envelope) for row in tx.exec(query).all()]


def install(state: ServerState) -> Controller:
    """Raises TrustFolderIncomplete if the director's key or the epoch is not there."""
    state.report_handlers.append(on_reports)
    state.device_handlers.append(on_device)
    state.desired = DesiredDocuments()
    state.trust.epoch()
    director = Director(key=state.trust.key("director"), epoch=state.trust.epoch)
    return Controller(store=state.store, director=director, clock=state.clock)


def on_device(tx: Transaction, device: str, group: str, now: float) -> None:
    """A device was enrolled (into a static group, "" for none), or its labels changed."""
    if group:
        tx.flush()
        # The token may be older than the group: it is made then, so that no device is left outside.
        if tx.get(Group, group) is None:
            groups.create(tx, group, selector=None, description="", now=now, actor="enrolment")
        if not groups.get(tx, group).selector:
            groups.join(tx, group, [device], now=now)
    groups.labels_changed(tx, device, now=now)
