"""Makes a server's state from its settings: what every way of running it shares."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlmodel import select

from limosa_contracts.errors import NotFound
from limosa_server.access import audit, tokens
from limosa_server.access.roles import Role
from limosa_server.access.tokens import AccessTokens
from limosa_server.access.two_person_actions import takes_two
from limosa_server.alerts import noting
from limosa_server.alerts.noting import TroubleNotes
from limosa_server.errors import AlreadyRunning
from limosa_server.files import write_private
from limosa_server.fleet import groups, membership
from limosa_server.metrics import make_metrics
from limosa_server.registry import running
from limosa_server.registry.blobs import Blobs
from limosa_server.registry.deltas import Deltas
from limosa_server.reports import event_rows
from limosa_server.rollouts import modes_ingest, rollout_ingest, withdrawing
from limosa_server.rollouts.controller import Controller
from limosa_server.settings import ServerSettings
from limosa_server.state import Endpoints, ServerState
from limosa_server.store import Store, Transaction
from limosa_server.tables.access import ApiToken
from limosa_server.tables.rollouts import DesiredDocument
from limosa_server.trust.director import Director
from limosa_server.trust.trust_folder import TrustFolder
from limosa_server.trust.tuf_repository import TufRepository

ADMIN_TOKEN_S: Final = 3650 * 86400.0
ADMIN_FILE: Final = "admin.token"


class SignedDocuments:
    """The director's documents, as the database holds them."""

    def one(self, tx: Transaction, device: str) -> bytes | None:
        row = tx.get(DesiredDocument, device)
        return row.envelope if row else None

    def every(self, tx: Transaction) -> Iterable[tuple[str, bytes]]:
        return tx.exec(select(DesiredDocument.device, DesiredDocument.envelope)).all()


@dataclass(frozen=True, slots=True)
class FolderLock:
    """Held as long as the process lives: two servers on one folder would undo each other."""

    descriptor: int

    @classmethod
    def take(cls, folder: Path) -> FolderLock:
        """Raises AlreadyRunning."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise AlreadyRunning("another server works in this folder", where=str(folder)) from error
        return cls(descriptor)

    def release(self) -> None:
        os.close(self.descriptor)


def make_state(settings: ServerSettings, endpoints: Endpoints, clock: Callable[[], float]) -> ServerState:
    """Opens (or makes) the database, checks the trust folder, signs the first snapshot.

    Raises TrustFolderIncomplete, StoreNewer, MetadataRefused.
    """
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    trust = TrustFolder(settings.trust)
    authority = trust.authority()
    store = Store.open(settings.database, busy_timeout_s=settings.limits.busy_timeout_s)
    tuf = TufRepository(settings.data / "tuf", trust, store, settings.limits)
    tuf.start(clock())
    blobs = Blobs(settings.blobs, max_bytes=settings.limits.blob_max_bytes)
    metrics = make_metrics()
    return ServerState(
        settings=settings,
        store=store,
        trust=trust,
        tuf=tuf,
        blobs=blobs,
        deltas=Deltas(settings.deltas, blobs, metrics, settings.delta_settings),
        authority=authority,
        director_key=trust.key("director"),
        access_tokens=AccessTokens(trust.access_token_key(), settings.limits.access_token_s),
        metrics=metrics,
        endpoints=endpoints,
        clock=clock,
        report_handlers=[
            rollout_ingest.on_reports,
            running.on_reports,
            modes_ingest.on_reports,
            TroubleNotes.over(store).on_reports,
        ],
        device_handlers=[_follow_labels],
        leaving_handlers=[
            running.on_leaving,
            noting.on_leaving,
            withdrawing.on_leaving,
            event_rows.on_leaving,
        ],
        desired=SignedDocuments(),
    )


def _follow_labels(tx: Transaction, devices: Sequence[str], group: str, now: float) -> None:
    """Memberships by selector follow the labels; a static group is the one of the enrolment token."""
    membership.follow(tx, devices, now=now)
    if group:
        with suppress(NotFound):  # the group is gone since the token was made; the device is not to blame
            groups.join(tx, group, devices, now=now)


def make_director(state: ServerState) -> Director:
    return Director(key=lambda: state.director_key, epoch=state.trust.epoch)


def make_controller(state: ServerState) -> Controller:
    return Controller(
        store=state.store,
        director=make_director(state),
        blobs=state.blobs,
        clock=state.clock,
        promotes=not takes_two("release.promote", state.settings.two_person),
    )


def first_admin(state: ServerState) -> str | None:
    """The text of an admin token, if there was no token at all; it is also left in `admin.token`."""
    now = state.clock()
    with state.store.transaction() as tx:
        if tx.exec(select(ApiToken.id).limit(1)).first() is not None:
            return None
        drawn = tokens.create_api_token(
            tx,
            name="admin",
            role=Role.ADMIN,
            team="",
            created_by="server",
            at=now,
            expires_at=now + ADMIN_TOKEN_S,
        )
        audit.record(
            tx,
            at=now,
            actor="server",
            action="token.create",
            object=f"token {drawn.id}",
            after={"role": "admin"},
        )
        # Before the commit: a token that nobody was told would lock everybody out.
        write_private(state.settings.data / ADMIN_FILE, f"{drawn.text}\n".encode())
    return drawn.text
