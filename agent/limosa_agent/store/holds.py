"""Holds that an operator set: durable, of one model or of all, for a time or until released (agent 2.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

from limosa_agent.store.moment import Moment, elapsed_s
from limosa_agent.store.state_db import StateDb
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import LimosaError
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

EVERYTHING: Final = "*"  # the scope of a hold on all models
REASON_MAX_CHARS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """`for_s` is None for one that lasts until it is released."""

    scope: str
    reason: str
    since: Moment
    for_s: float | None = None

    @property
    def until(self) -> float | None:
        """When it ends by the clock that it was set with, Unix seconds; for people."""
        return None if self.for_s is None else self.since.wall + self.for_s

    def covers(self, model: str) -> bool:
        return self.scope in (EVERYTHING, model)

    @classmethod
    def parse(cls, scope: str, data: bytes) -> Self:
        fields = Fields(parse_object(data, what="hold"), where=f"holds[{scope}]")
        return cls(
            scope=scope,
            reason=fields.text("reason", empty=True),
            since=Moment.parse(fields.fields("since")),
            for_s=fields.maybe("for_s", lambda n: fields.number(n, low=0)),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {"reason": self.reason, "since": self.since.as_json(), "for_s": self.for_s}


def still(hold: Hold, now: Moment) -> Hold | None:
    """The hold as it stands now; None when it is over. Pure.

    Where nobody can say how long ago it was set (a reboot without a clock), it begins anew: it may last
    longer than was asked, never shorter.
    """
    if hold.for_s is None:
        return hold
    gone = elapsed_s(hold.since, now)
    if gone is None:
        return replace(hold, since=now)
    if gone >= hold.for_s:
        return None
    if hold.since.boot != now.boot:  # from here on by this boot's own counting
        return replace(hold, since=now, for_s=hold.for_s - gone)
    return hold


class Holds:
    def __init__(self, db: StateDb) -> None:
        self._db = db
        self._known = self._load()

    def put(self, hold: Hold) -> None:
        """In place of the one of the same scope. Durable on return."""
        with self._db.transaction("hold") as connection:
            connection.execute(
                "INSERT OR REPLACE INTO holds VALUES (?, ?)",
                (hold.scope, encode_canonical(hold.as_json()).decode()),
            )
        self._known[hold.scope] = hold

    def release(self, scope: str | None) -> tuple[str, ...]:
        """Ends the hold of a scope, or every one; gives the scopes that had one."""
        gone = tuple(sorted(name for name in self._known if scope in (None, name)))
        if gone:
            with self._db.transaction("release") as connection:
                connection.executemany("DELETE FROM holds WHERE scope = ?", [(name,) for name in gone])
        for name in gone:
            del self._known[name]
        return gone

    def now(self, moment: Moment) -> tuple[Hold, ...]:
        """Those that hold now, by scope; what is over is forgotten."""
        for scope, hold in sorted(self._known.items()):
            current = still(hold, moment)
            if current is None:
                self.release(scope)
            elif current != hold:
                self.put(current)
        return tuple(self._known[scope] for scope in sorted(self._known))

    def _load(self) -> dict[str, Hold]:
        found = {}
        for scope, document in self._db.query("SELECT scope, document FROM holds"):
            name = str(scope)
            try:
                found[name] = Hold.parse(name, str(document).encode())
            except LimosaError:  # what was written to hold, holds: until somebody releases it
                since = Moment(boot="", since_boot_s=0.0, wall=0.0, trusted=False)
                found[name] = Hold(scope=name, reason="", since=since)
        return found
