"""One transaction: a session, and what is announced once it is committed."""

from __future__ import annotations

from sqlmodel import Session


class Transaction(Session):
    """A sqlmodel Session that the Store begins and ends; nobody else commits."""

    def announce(self, *topics: str) -> None:
        """Names what changed, e.g. "devices" or "rollout 7", for listeners after the commit."""
        self.info.setdefault("topics", set()).update(topics)

    @property
    def announced(self) -> frozenset[str]:
        return frozenset(self.info.get("topics", ()))
