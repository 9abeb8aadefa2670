"""Bytes that may be downloaded per day: durable, and not to be fooled by a clock (agent 2.2).

A bucket that holds one day's bytes and fills evenly. It counts with this boot's own time; what passed
while the device was off counts only where the clock could be trusted at both ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

from limosa_agent.store.moment import Moment, elapsed_s
from limosa_agent.store.state_db import StateDb
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import LimosaError
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

META: Final = "download_budget"
DAY_S: Final = 86400.0
WORTH: Final = 10  # a fetch is begun with a tenth of a day's bytes: metadata is not fetched for nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """`left` bytes at a moment; negative where the last download went a little over."""

    left: float
    at: Moment

    @classmethod
    def parse(cls, data: bytes) -> Self:
        fields = Fields(parse_object(data, what="byte budget"), where=META)
        return cls(left=fields.number("left"), at=Moment.parse(fields.fields("at")))

    def as_json(self) -> dict[str, JsonValue]:
        return {"left": self.left, "at": self.at.as_json()}


def filled(bucket: Bucket, now: Moment, *, per_day: int) -> Bucket:
    """The bucket as it is now. Pure.

    What nobody can know to have passed fills nothing.
    """
    gained = (elapsed_s(bucket.at, now) or 0.0) * per_day / DAY_S
    return replace(bucket, left=min(float(per_day), bucket.left + gained), at=now)


class ByteBudget:
    """`per_day` is 0 for no limit."""

    def __init__(self, db: StateDb, *, per_day: int) -> None:
        self._db = db
        self.per_day = per_day

    def left(self, now: Moment) -> int | None:
        """Bytes that may still come now, >= 0; None for no limit."""
        return max(0, int(self._bucket(now).left)) if self.per_day else None

    def spend(self, size: int, now: Moment) -> None:
        """Durable on return."""
        if self.per_day and size > 0:
            bucket = self._bucket(now)
            spent = replace(bucket, left=max(-float(self.per_day), bucket.left - size))
            self._db.set_meta(META, encode_canonical(spent.as_json()).decode())

    def wait_s(self, now: Moment) -> float:
        """Until a fetch is worth beginning."""
        if not self.per_day:
            return 0.0
        missing = self.per_day / WORTH - self._bucket(now).left
        return max(0.0, missing * DAY_S / self.per_day)

    def _bucket(self, now: Moment) -> Bucket:
        """Full where none is known."""
        text = self._db.meta(META)
        try:
            known = Bucket.parse(text.encode()) if text else None
        except LimosaError:
            known = None
        if known is None:
            return Bucket(left=float(self.per_day), at=now)
        return filled(known, now, per_day=self.per_day)
