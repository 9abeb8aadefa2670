"""Every crash state of a recording, judged: what must hold on the folder as it is found, and after a
start of the real code on it. And every mutant of the recording, until one of its states is caught.
"""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from tests.crash.crash_states import CrashState, crash_states
from tests.crash.database_history import DatabaseHistory
from tests.crash.disk_log import DiskLog, Rename, Sync, fails_at
from tests.crash.kept import Promise, without

T = TypeVar("T")


class Judge(Protocol):
    """Raises whatever it likes where a promise is broken; the folder may be changed."""

    def __call__(self, folder: Path, marks: frozenset[str]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    after: int  # operations of the recording that had been carried out
    marks: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    states: int
    violations: Sequence[Violation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    position: int
    what: str
    caught_by: str | None
    states: int  # that the unchanged program has not

    @property
    def same(self) -> bool:
        """Whether it leaves no folder that the unchanged program does not leave too: what it lacks is
        done by another operation as well."""
        return self.caught_by is None and self.states == 0


@dataclass(slots=True)
class Explorer:
    """Of one recording."""

    log: DiskLog
    made: Sequence[Promise]
    judge: Judge
    scratch: Path
    history: DatabaseHistory = field(init=False)

    def __post_init__(self) -> None:
        self.history = DatabaseHistory.of(self.log)

    def explore(self, *, most: int | None = None) -> Explored:
        """All states, or so many of them, spread evenly."""
        judged = spread(list(crash_states(self.log, self.made)), most)
        found = [
            Violation(after=state.after, marks=tuple(sorted(state.marks)), why=why)
            for state in judged
            if (why := self._seen(state) or self._judged(state))
        ]
        return Explored(states=len(judged), violations=found)

    def mutants(self, *, most: int | None = None) -> list[Mutant]:
        """Each sync and each rename left out in turn."""
        known = {state.key for state in crash_states(self.log, self.made)}
        positions = [at for at, op in enumerate(self.log.operations) if isinstance(op, (Sync, Rename))]
        return [self._mutant(at, known) for at in spread(positions, most)]

    def _mutant(self, position: int, known: set[bytes]) -> Mutant:
        what, changed = described(self.log, position), self.log.without(position)
        stop = fails_at(changed)
        if stop is not None:
            why = f"the program fails at operation {stop}"
            return Mutant(position=position, what=what, caught_by=why, states=0)
        mutated = crash_states(changed, without(self.made, position))
        fresh = [state for state in mutated if state.key not in known]
        # What costs nothing first; then what was promised last, which most likely breaks.
        for check in (self._seen, self._judged):
            for state in reversed(fresh):
                why = check(state)
                if why:
                    return Mutant(position=position, what=what, caught_by=why, states=len(fresh))
        return Mutant(position=position, what=what, caught_by=None, states=len(fresh))

    def _seen(self, state: CrashState) -> str:
        """What is wrong with a state that needs no start of the agent to be told; "" for nothing."""
        return state.broken or self.history.broken(state.image, state.marks)

    def _judged(self, state: CrashState) -> str:
        """What the judge, and so a start of the agent, finds wrong with it."""
        folder = self.scratch / "crashed"
        shutil.rmtree(folder, ignore_errors=True)
        state.image.write_to(folder)
        return broken_promise(lambda: self.judge(folder, state.marks)) or ""


def spread(all_of: Sequence[T], most: int | None) -> Sequence[T]:
    """At most so many, at even distances, the last one among them."""
    if most is None or len(all_of) <= most:
        return all_of
    return [all_of[-1 - (number * len(all_of)) // most] for number in reversed(range(most))]


def broken_promise(check: Callable[[], None]) -> str | None:
    """What went wrong, in a few lines."""
    try:
        check()
    except Exception:  # noqa: BLE001  whatever a judge stumbles over is a violation
        return "".join(traceback.format_exc(limit=-3)[-1500:])
    return None


def described(log: DiskLog, position: int) -> str:
    """An operation with the name that its inode has at the end, or had first."""
    op = log.operations[position]
    names = dict[int, str]()
    for other in log.operations[: position + 1]:
        if hasattr(other, "name") and hasattr(other, "inode"):
            names[other.inode] = other.name
    if isinstance(op, Rename):
        return f"rename {op.from_name[:30]} to {op.name[:30]}"
    assert isinstance(op, Sync)
    base = {inode: path for path, inode in log.base.files()}
    where = names.get(op.inode) or base.get(op.inode, "the folder itself")
    return f"{log.inodes[op.inode].kind} sync of {where[-60:]}"


def told(name: str, explored: Explored, mutants: Iterable[Mutant] = ()) -> str:
    """One line for people, and one per mutant that lived."""
    tried = list(mutants)
    line = f"{name}: {explored.states} crash states, {len(explored.violations)} violations"
    if tried:
        caught = sum(mutant.caught_by is not None for mutant in tried)
        same = sum(mutant.same for mutant in tried)
        line += f"; {caught} of {len(tried) - same} mutants caught, {same} more leave nothing new"
    lived = [m for m in tried if m.caught_by is None and not m.same]
    return "\n".join([line, *(f"  not caught: {m.what} ({m.states} states)" for m in lived)])
