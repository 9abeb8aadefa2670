"""One round of retention: what is due, for as long as a round may take; and what is told about it."""

from __future__ import annotations

import time
from collections.abc import Callable

from limosa_contracts.json_value import JsonValue
from limosa_server.retention import removal, tiers
from limosa_server.retention.settings import DAY_S, RetentionSettings
from limosa_server.store import Store, Transaction
from limosa_server.tables.retention import RetentionMark


class Retention:
    """`step` may be called at any time and as often as one likes; a kill between commits loses nothing."""

    def __init__(self, store: Store, settings: RetentionSettings, clock: Callable[[], float]) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    def step(self) -> bool:
        """Whether it came to an end: False if more is due."""
        until = time.monotonic() + self._settings.busy_s
        now = self._clock()
        works = (self._merge, self._remove, self._compact)
        return all(self._exhausted(work, now, until) for work in works)

    def finish(self) -> None:
        """Rounds until nothing is due."""
        while not self.step():
            continue

    @staticmethod
    def _exhausted(work: Callable[[float], bool], now: float, until: float) -> bool:
        while work(now):
            if time.monotonic() > until:
                return False
        return True

    def _merge(self, now: float) -> bool:
        with self._store.transaction() as tx:
            upto, limit = now - self._settings.settle_s, self._settings.merged_at_once
            return tiers.merge_due(tx, upto=upto, limit=limit) > 0

    def _remove(self, now: float) -> bool:
        span_s = self._settings.removed_span_s
        gone = [
            removal.remove_span(self._store, kind, now=now, span_s=span_s)
            for kind in removal.kinds(self._settings)
        ]
        return any(count is not None for count in gone)

    def _compact(self, now: float) -> bool:
        return removal.compact_rollouts(self._store, days=self._settings.ended_rollouts_days, now=now) > 0


def shown(tx: Transaction, settings: RetentionSettings) -> list[dict[str, JsonValue]]:
    """Each kind of row: for how many days it is kept (None: for ever), since when there are some, how many
    were removed so far."""
    found: list[dict[str, JsonValue]] = []
    for kind in removal.kinds(settings):
        mark = tx.get(RetentionMark, kind.name)
        found.append(_line(kind.name, kind.days, removal.oldest(tx, kind), mark))
    compacted = tx.get(RetentionMark, removal.COMPACTED)
    found.append(_line("progress of ended rollouts", settings.ended_rollouts_days, None, compacted))
    found += [_line(name, None, None, None) for name in ("cohort-hours", "executions", "decisions", "audit")]
    return found


def _line(
    name: str, days: float | None, oldest: float | None, mark: RetentionMark | None
) -> dict[str, JsonValue]:
    return {
        "what": name,
        "keep_days": days,
        "oldest": oldest,
        "next_removal": None if oldest is None or days is None else oldest + days * DAY_S,
        "removed": mark.removed if mark else 0,
    }
