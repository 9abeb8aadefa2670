"""What holds updates back on this device now: reads holds, locks, zones and the clock for `gates`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from limosa_agent.fetch.time_floor import clock_suspect
from limosa_agent.store.holds import EVERYTHING, Hold, Holds
from limosa_agent.store.moment import Moment
from limosa_agent.store.state_db import StateDb
from limosa_agent.update.gates import KEPT, OPEN, Gate, WindowState, gate, window_state
from limosa_agent.update.locks import held_locks
from limosa_agent.update.state import ABSENT, Target
from limosa_agent.update.zones import DeviceZones
from limosa_contracts.canonical import encode_canonical

if TYPE_CHECKING:
    from limosa_contracts.maintenance_window import Zones

HOLD_FILE: Final = "hold"  # made by hand where no agent answers; holds until it is removed
OPEN_FOR_S: Final = 1.0  # an open window is looked at again this often;
CLOSED_FOR_S: Final = 60.0  # one that is closed at its next opening, or when the zone may have changed


class Gatekeeper:
    """`lock_dir`: where applications put their locks. `clock` gives Unix seconds."""

    def __init__(
        self,
        db: StateDb,
        *,
        state_dir: Path,
        lock_dir: Path,
        time_floor: Callable[[], float],
        removable: bool = True,
        clock: Callable[[], float] = time.time,
        zones: Zones | None = None,
    ) -> None:
        self.holds = Holds(db)
        self.lock_dir = lock_dir
        self._hold_file = state_dir / HOLD_FILE
        self._time_floor = time_floor
        self._removable = removable
        self._clock = clock
        self._zones = zones or DeviceZones()
        self._windows: dict[bytes, tuple[float, WindowState | None]] = {}
        with suppress(OSError):  # a full or read-only disk: no folder, no locks, but a device that serves
            lock_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def clock_trusted(self) -> bool:
        return not clock_suspect(clock=self._clock(), floor=self._time_floor())

    def moment(self) -> Moment:
        return Moment.now(trusted=self.clock_trusted)

    def held(self) -> tuple[Hold, ...]:
        """The holds of operators now, the file among them."""
        moment = self.moment()
        found = self.holds.now(moment)
        if not self._hold_file.exists():
            return found
        return (*found, Hold(scope=EVERYTHING, reason=f"the file {self._hold_file} is there", since=moment))

    def locks(self) -> tuple[str, ...]:
        return held_locks(self.lock_dir)

    def told(self) -> tuple[str, ...]:
        """What the device reports of it: scopes of holds, names of locks, and that it keeps its models."""
        holds, locks = self.held(), self.locks()
        kept = () if self._removable else ("setting:removable",)
        return (*(f"hold:{hold.scope}" for hold in holds), *(f"lock:{name}" for name in locks), *kept)

    def gate(self, model: str, target: Target | None) -> Gate:
        """For a model on its way to a target; one that is not on its way is held by nothing."""
        if target is None:
            return OPEN
        if target.mode == ABSENT and not self._removable:
            return KEPT
        return gate(
            model,
            holds=self.held(),
            locks=self.locks(),
            windows=self._state_of(target),
            clock_trusted=self.clock_trusted,
        )

    def remove_file(self) -> bool:
        """Whether there was a hold made by hand."""
        there = self._hold_file.exists()
        self._hold_file.unlink(missing_ok=True)
        return there

    def _state_of(self, target: Target) -> WindowState | None:
        if target.window is None:
            return None
        key = encode_canonical(target.window)
        found = self._windows.get(key)
        if found is None or not 0 <= self._clock() - found[0] < _stands_s(*found):
            if len(self._windows) > 64:
                self._windows.clear()
            now = self._clock()
            found = (now, window_state(target.window, now=now, zones=self._zones))
            self._windows[key] = found
        return found[1]


def _stands_s(at: float, window: WindowState | None) -> float:
    """For how long what was found at `at` holds: looking for the next opening is dear."""
    if window is None or window.open or window.next_start is None:
        return OPEN_FOR_S
    return min(CLOSED_FOR_S, window.next_start - at)
