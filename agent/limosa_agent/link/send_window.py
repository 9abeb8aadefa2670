"""Which report goes next: go-back-N over the server's acknowledgements (agent 6.2). Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class SendWindow:
    """`cursor`: the last seq handed to the link; `acked`: the last the server has. Times are monotonic."""

    size: int = 64  # rows on their way
    timeout_s: float = 30.0
    cursor: int = 0
    acked: int = 0
    in_flight: int = 0
    last_progress_s: float = 0.0
    unheard_since_s: float | None = None  # the first row that was sent since the server last acknowledged one

    @property
    def room(self) -> int:
        return max(0, self.size - self.in_flight)

    def sent(self, seq: int, *, now_s: float) -> None:
        if self.in_flight == 0:
            self.last_progress_s = now_s
        if self.unheard_since_s is None:
            self.unheard_since_s = now_s
        self.cursor = max(self.cursor, seq)
        self.in_flight += 1

    def acknowledged(self, seq: int, *, still_waiting: int, now_s: float) -> None:
        """`still_waiting`: rows above `seq` and up to the cursor that are still in the outbox."""
        if seq > self.acked:
            self.acked = seq
            self.last_progress_s = now_s
            self.unheard_since_s = now_s
        if not still_waiting:
            self.unheard_since_s = None
        self.in_flight = still_waiting

    def go_back(self, *, now_s: float) -> None:
        """Everything that is not acknowledged goes again, from the first."""
        self.cursor = 0  # rows at or below `acked` are gone from the outbox
        self.in_flight = 0
        self.last_progress_s = now_s

    def expired(self, *, now_s: float) -> bool:
        return self.in_flight > 0 and now_s - self.last_progress_s >= self.timeout_s

    def unheard_s(self, *, now_s: float) -> float:
        """How long rows have been sent, again and again, of which the server acknowledged none."""
        return 0.0 if self.unheard_since_s is None else now_s - self.unheard_since_s
