"""Signs the head of the audit trail, so that rewriting it is provable (trust 6.5).

The housekeeping signs one every five minutes if rows were added; desired documents carry the newest
when they change anyway (trust 4.2). What a device has seen, the server cannot take back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlmodel import col, select

from limosa_contracts.audit_trail import AuditHead
from limosa_contracts.signing_keys import PublicKey, Signs
from limosa_server.store import Store, Transaction
from limosa_server.tables.access import AuditRow
from limosa_server.tables.trust import AuditHeadRow, TrustItem

EVERY_S: Final = 300.0  # trust 6.5
KEY_ITEM: Final = "audit"
FORMER_KEY: Final = "audit key "
"""Beginning of the names under which replaced audit keys are kept: their heads are checked for ever."""


def sign_due(store: Store, key: Signs, *, epoch: int, now: float, every_s: float = EVERY_S) -> bool:
    """Signs a head if the last one is five minutes old and rows were added since; whether it did."""
    with store.read() as tx:
        last = newest(tx)
        row = _last_row(tx)
    if row is None or row.seq is None:
        return False
    # A clock that was set back must not keep heads from being signed.
    if last is not None and (last.seq == row.seq or 0 <= now - last.at < every_s):
        return False
    head = AuditHead(seq=row.seq, hash=row.hash, time=int(now), epoch=epoch)
    with store.transaction() as tx:
        tx.add(AuditHeadRow(seq=row.seq, hash=row.hash, at=now, envelope=head.sign(key)))
    return True


def newest(tx: Transaction) -> AuditHeadRow | None:
    return tx.exec(select(AuditHeadRow).order_by(col(AuditHeadRow.seq).desc()).limit(1)).first()


def newest_text(tx: Transaction) -> str:
    """As a desired document carries it; "" before the first."""
    row = newest(tx)
    return row.envelope if row is not None else ""


def public_keys(tx: Transaction, current: PublicKey) -> Sequence[PublicKey]:
    """The audit key in use, and those it replaced."""
    items = tx.exec(select(TrustItem).where(col(TrustItem.name).startswith(FORMER_KEY)))
    former = [PublicKey.parse(item.public_pem.encode()) for item in items if item.public_pem]
    return (current, *(key for key in former if key.keyid != current.keyid))


def _last_row(tx: Transaction) -> AuditRow | None:
    return tx.exec(select(AuditRow).order_by(col(AuditRow.seq).desc()).limit(1)).first()
