"""What the pages show at most, and when something is worth a line. Times in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLimits:
    session_s: float = 12 * 3600.0  # one shift; a revoked token ends it at once
    form_max_bytes: int = 16 * 1024
    followers_max: int = 256  # live pages; each holds one connection
    gather_s: float = 0.25  # a commit rarely comes alone: what follows at once goes out together
    news_every_s: float = 1.0  # a page is told at most this often
    heartbeat_s: float = 15.0  # keeps proxies from closing an idle stream; the session is checked again
    recent_s: float = 86400.0  # what ended badly stays on the overview for a day
    certificate_warn_s: float = 7 * 86400.0  # agents renew well before
    outbox_late_s: float = 60.0  # the broker takes messages in milliseconds
    rows_max: int = 100  # of one table; the rest is behind a filter or "more"
    named_max: int = 6  # devices named in one line of the overview
    commands_shown: int = 5
    events_shown: int = 15
    ended_shown: int = 5  # rollouts of the past, on the overview


LIMITS: Final = PageLimits()
