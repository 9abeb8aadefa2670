"""Reports of many requests at once: whoever waits for the database is committed together with the others.

A commit costs a write to the disk and a dozen statements, however few reports are in it. While one request
commits, the next ones queue; then the first of them commits for all (server 2.3).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from limosa_server.reports.ingest import DeviceAck, Incoming, Ingest
from limosa_server.reports.report_parsing import Checked
from limosa_server.state import ServerState


@dataclass(slots=True, kw_only=True)
class _Request:
    checked: Sequence[Checked]
    acks: list[DeviceAck] = field(default_factory=list)
    error: Exception | None = None
    done: bool = False


class JoinedIngest:
    """`take` may be called by any number of threads."""

    def __init__(self, state: ServerState, *, workers: int | None = 0) -> None:
        """`workers`: as of Ingest."""
        self._ingest = Ingest(state, workers=workers)
        self._most = state.settings.limits.ingest_batch_max
        # Requests may be checked side by side in their own threads, but processes answer one at a time.
        self._checking: AbstractContextManager[object] = nullcontext() if workers == 0 else threading.Lock()
        self._turn = threading.Lock()  # of the one who commits
        self._waiting: deque[_Request] = deque()

    def stop(self) -> None:
        self._ingest.stop()

    @property
    def waiting(self) -> int:
        """Requests that are checked, and that nobody commits yet."""
        return len(self._waiting)

    def take(self, batch: Sequence[Incoming]) -> list[DeviceAck]:
        """As Ingest.take; what is acknowledged is committed. Raises what the commit raised."""
        with self._checking:
            checked = self._ingest.check(batch)
        if not checked:
            return []
        mine = _Request(checked=checked)
        self._waiting.append(mine)
        with self._turn:
            while not mine.done:
                self._commit(self._next())
        if mine.error is not None:
            raise mine.error
        return mine.acks

    def _next(self) -> list[_Request]:
        """In their order, so that a device's requests stay in theirs; at least one."""
        some = [self._waiting.popleft()]
        held = len(some[0].checked)
        while self._waiting and held + len(self._waiting[0].checked) <= self._most:
            some.append(self._waiting.popleft())
            held += len(some[-1].checked)
        return some

    def _commit(self, requests: Sequence[_Request]) -> None:
        try:
            acks = self._ingest.commit([one for request in requests for one in request.checked])
        except Exception as error:  # noqa: BLE001  # raised to each of them, by its own thread
            for request in requests:
                request.error, request.done = error, True
            return
        told = {(one.device, one.ack.session): one for one in acks}
        for request in requests:
            places = dict.fromkeys((one.device, one.parsed.message.session) for one in request.checked)
            request.acks = [told[place] for place in places if place in told]
            request.done = True
