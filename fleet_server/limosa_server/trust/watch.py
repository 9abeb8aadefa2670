"""Takes up what is replaced in the trust folder while the server runs, and writes it down (trust 1.2).

`limosa keys rotate` writes files; this looks at the folder every two seconds. A change that is not whole
yet, such as a key before the root that names it, is left for the next look: the server goes on with what
it has. What was taken up stands in the audit trail.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cryptography import x509
from sqlmodel import select

from limosa_contracts.errors import LimosaError
from limosa_contracts.root_ca import fingerprints
from limosa_contracts.signing_keys import PublicKey
from limosa_server.access import audit
from limosa_server.access.audit_heads import FORMER_KEY, KEY_ITEM
from limosa_server.access.tokens import AccessTokens
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.trust import TrustItem
from limosa_server.trust import roots
from limosa_server.trust.trust_folder import FORMER

log = logging.getLogger(__name__)
EVERY_S: Final = 2.0
KEYS: Final = ("snapshot", "timestamp", "director", "audit")
FORMER_ISSUERS: Final = "former device CAs"  # that are still trusted
REVOCATIONS: Final = "revocations"
CONTROLLER: Final = "controller"


class TrustWatch:
    """`on_certificate` is called when the TLS certificate or the trusted issuers have changed."""

    def __init__(self, state: ServerState, on_certificate: Callable[[], None] = lambda: None) -> None:
        self._state = state
        self._on_certificate = on_certificate
        self._seen: tuple[tuple[str, int], ...] = ()
        self._spread_at = -roots.WRITTEN_EVERY_S

    def step(self) -> bool:
        """Whether something was taken up."""
        self._write_spread()
        mark = _mark(self._state.trust.path)
        if mark == self._seen:
            return False
        try:
            changed = self._take()
        except (LimosaError, ValueError, OSError) as error:
            # Half of a change: the other half comes, or somebody reads this.
            log.warning("the trust folder has changed and is not taken up yet: %s", error)
            return False
        self._seen = mark
        return changed

    def _write_spread(self) -> None:
        now = self._state.clock()
        if not 0 <= now - self._spread_at < roots.WRITTEN_EVERY_S:
            self._spread_at = now  # also where it fails: the keys are looked at all the same
            roots.write_spread(self._state)

    def _take(self) -> bool:
        state, now = self._state, self._state.clock()
        state.tuf.start(now)
        state.authority = state.trust.authority()
        state.director_key = state.trust.key("director")
        token_key = state.trust.access_token_key()
        if token_key != state.access_tokens.key:
            state.access_tokens = AccessTokens(token_key, state.settings.limits.access_token_s)
        found = dict(items(state))
        with state.store.transaction() as tx:
            first = tx.exec(select(TrustItem.name).limit(1)).first() is None
            if tx.get(TrustItem, roots.ITEM) is None and not roots.rotates(state.authority):
                roots.adopt_first(tx, roots.newest(state.authority))
            changed = [name for name in sorted(found) if _note(tx, name, *found[name], now=now, first=first)]
            if changed:
                tx.announce(REVOCATIONS, CONTROLLER)
        if {"server certificate", "device CA", FORMER_ISSUERS, roots.ITEM} & set(changed):
            self._on_certificate()
        self._spread_at = -roots.WRITTEN_EVERY_S
        return bool(changed)


def items(state: ServerState) -> Iterator[tuple[str, tuple[str, str]]]:
    """(name, (fingerprint, PEM of the public half or "")) of everything that can be replaced."""
    trust = state.trust
    for name in KEYS:
        public = trust.key(name).public
        yield name, (public.keyid, public.pem().decode())
    issuer = state.authority
    yield roots.ITEM, (",".join(fingerprints(issuer.root_pem)), "")
    yield "device CA", (PublicKey.of(issuer.certificate.public_key()).keyid, "")
    trusted = sorted(f"{one.certificate.serial_number:x}" for one in issuer.trusted)
    yield FORMER_ISSUERS, (",".join(trusted) or "none", "")
    for name, keyids in state.tuf.keys_named().items():
        yield name, (keyids, "")
    yield "epoch", (str(trust.epoch()), "")
    if not state.settings.dev:
        leaf = x509.load_pem_x509_certificates(trust.tls_files()[0].read_bytes())[0]
        yield "server certificate", (f"{leaf.serial_number:x}", "")


def _note(tx: Transaction, name: str, fingerprint: str, pem: str, *, now: float, first: bool) -> bool:
    """Keeps what is there now; a change goes into the audit. The `first` look at a database is none."""
    row = tx.get(TrustItem, name)
    if row is not None and row.fingerprint == fingerprint:
        return False
    if row is None:
        tx.add(TrustItem(name=name, fingerprint=fingerprint, public_pem=pem, since=now))
        if not first:
            audit.record(tx, at=now, actor="server", action="key.add", object=name, after={"id": fingerprint})
        return not first
    if name == KEY_ITEM and tx.get(TrustItem, FORMER_KEY + row.fingerprint) is None:
        tx.add(
            TrustItem(
                name=FORMER_KEY + row.fingerprint,
                fingerprint=row.fingerprint,
                public_pem=row.public_pem,
                since=row.since,
            )
        )
    audit.record(
        tx,
        at=now,
        actor="server",
        action="key.replace",
        object=name,
        before={"id": row.fingerprint, "since": row.since},
        after={"id": fingerprint},
    )
    row.fingerprint, row.public_pem, row.since = fingerprint, pem, now
    tx.add(row)
    return True


def _mark(folder: Path) -> tuple[tuple[str, int], ...]:
    """Changes when a file is replaced: files come by renames, which a folder's time shows."""
    found: list[tuple[str, int]] = []
    for part in ("", "keys", "tuf", FORMER):
        place = folder / part
        if place.is_dir():
            found.append((part, place.stat().st_mtime_ns))
    return tuple(found)
