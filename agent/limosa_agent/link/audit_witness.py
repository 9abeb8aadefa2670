"""A device as a witness of the server's audit trail: it keeps the newest head that it was sent (trust 6.5).

It holds no entry and judges no history. But a head that is older than the one it keeps, or another one of
the same length, says that history was rewritten, and the operator is told.
"""

from __future__ import annotations

from collections.abc import Callable

from limosa_agent.errors import AuditRewritten
from limosa_agent.store.state_db import StateDb
from limosa_contracts.audit_trail import AuditHead
from limosa_contracts.errors import LimosaError, TrustError

META = "audit_head"


class AuditWitness:
    """`alarm`: (key, error); the same finding has the same key."""

    def __init__(self, db: StateDb, alarm: Callable[[str, TrustError], None]) -> None:
        self._db = db
        self._alarm = alarm

    @property
    def head(self) -> str:
        """As it was signed; "" before the first. An operator compares it: `limosa audit verify --heads`."""
        return self._db.meta(META) or ""

    def see(self, text: str) -> None:
        """A head that came in a document of the director's."""
        kept = self.head
        if not text or text == kept:
            return
        problem = rewritten(kept, text)
        if problem is not None:
            self._alarm(
                f"audit:{problem.evidence['offered_seq']}:{problem.evidence['offered_hash']}", problem
            )
        if problem is None or problem.evidence["new_epoch"]:
            self._db.set_meta(META, text)


def rewritten(kept: str, offered: str) -> AuditRewritten | None:
    """What is wrong with the offered head, given the one that is kept. Pure.

    A new epoch may begin with a shorter trail: the server was restored from a backup, which the operator
    knows of. It is told once, and the new head is kept.
    """
    try:
        new = AuditHead.read(offered)
        old = AuditHead.read(kept) if kept else None
    except LimosaError as error:
        return _alarm(None, None, f"a head of the audit cannot be read: {error}")
    if old is None or new.seq > old.seq or (new.seq, new.hash) == (old.seq, old.hash):
        return None
    if new.seq == old.seq:
        return _alarm(old, new, f"entry {old.seq} of the audit is not the one that it was")
    return _alarm(old, new, f"the audit had {old.seq} entries and has {new.seq}")


def _alarm(old: AuditHead | None, new: AuditHead | None, why: str) -> AuditRewritten:
    return AuditRewritten(
        "the server's audit trail is not what it was",
        why=why,
        evidence={
            "kept_seq": old.seq if old else 0,
            "kept_hash": old.hash[:16] if old else "",
            "offered_seq": new.seq if new else 0,
            "offered_hash": new.hash[:16] if new else "",
            "new_epoch": bool(old and new and new.epoch > old.epoch),
        },
    )
