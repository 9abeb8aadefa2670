"""Presence and answers to commands between broker and database: kept until they are stored.

A report that is not acknowledged comes again. These do not: a device says once that it is there, and
answers once. So what a failed commit leaves stays here, in the memory of this process, and is tried again;
of one device the word of its latest connection. A server that ends meanwhile gets presence again from what
the broker retains (server 3.1); an answer is lost then, as with a device that ends while it answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from sqlalchemy.exc import OperationalError

from limosa_contracts.errors import LimosaError
from limosa_contracts.status import Status
from limosa_server.fleet import device_commands
from limosa_server.fleet.presence import later
from limosa_server.reports import report_rows
from limosa_server.state import ServerState

log = logging.getLogger(__name__)
PRESENCES_MAX: Final = 100_000  # devices whose word is kept
ANSWERS_MAX: Final = 500  # of 64 KiB at most
T = TypeVar("T")


class Owed:
    """For one thread."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._statuses: dict[str, Status] = {}
        self._heard: dict[str, float] = {}  # when the server had that word
        self._answers: list[tuple[str, bytes]] = []

    @property
    def full(self) -> bool:
        """Whoever adds stops then: what is more waits at the broker. A batch may go beyond the limits."""
        return len(self._statuses) >= PRESENCES_MAX or len(self._answers) >= ANSWERS_MAX

    def add(self, statuses: Mapping[str, Status], answers: Sequence[tuple[str, bytes]]) -> None:
        now = self._state.clock()
        for device, said in statuses.items():
            later(self._statuses, device, said)
            if self._statuses[device] is said:
                self._heard[device] = now
        self._answers.extend(answers)

    def store(self) -> None:
        """All there is. Raises StoreBusy, StorageFull, StoreDown and OperationalError: what was not stored
        is still here. What the database refuses for another reason is recorded and given up, alone."""
        _together(self._answers, self._store_answers, "the answer of %s cannot be stored", _first)
        self._answers.clear()
        _together(sorted(self._statuses), self._store_presences, "the presence of %s cannot be stored", str)
        self._statuses.clear()
        self._heard.clear()

    def _store_answers(self, answers: Sequence[tuple[str, bytes]]) -> None:
        device_commands.take_answers(self._state.store, answers, now=self._state.clock())

    def _store_presences(self, devices: Sequence[str]) -> None:
        heard: dict[float, dict[str, Status]] = {}
        for device in devices:
            heard.setdefault(self._heard[device], {})[device] = self._statuses[device]
        with self._state.store.transaction() as tx:
            for at, statuses in sorted(heard.items()):
                report_rows.presences(tx, statuses, now=at)


def _together(
    items: Sequence[T], work: Callable[[Sequence[T]], None], failure: str, name: Callable[[T], str]
) -> None:
    """With all at once; where one of them cannot be stored, with each alone."""
    if not items:
        return
    try:
        work(items)
    except (LimosaError, OperationalError):
        raise  # the database's state, not theirs
    except Exception as error:
        if len(items) == 1:
            log.exception(failure, name(items[0]))
            return
        log.warning("%d of them one by one: %s", len(items), error)
        for one in items:
            _together([one], work, failure, name)


def _first(answer: tuple[str, bytes]) -> str:
    return answer[0]
