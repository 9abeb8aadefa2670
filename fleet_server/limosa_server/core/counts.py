"""How many executions are in each state. Counters are kept and moved, not counted (rollouts 3.6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from limosa_contracts.json_value import JsonValue
from limosa_contracts.phases import Execution
from limosa_contracts.rollout.abort import Failure

_OF_FAILURE: Final[Mapping[Failure, tuple[Execution, ...]]] = {
    Failure.FAILED: (Execution.FAILED,),
    Failure.TIMED_OUT: (Execution.TIMED_OUT,),
    Failure.REJECTED: (Execution.REJECTED,),
    Failure.ROLLED_BACK: (Execution.ROLLED_BACK,),
    Failure.SILENT: (),
    Failure.ALL: tuple(state for state in Execution if state.failed),
}


@dataclass(frozen=True, slots=True)
class Counts:
    by_state: Mapping[Execution, int] = field(default_factory=dict)

    def of(self, *states: Execution) -> int:
        return sum(self.by_state.get(state, 0) for state in states)

    @property
    def total(self) -> int:
        return sum(self.by_state.values())

    @property
    def succeeded(self) -> int:
        return sum(n for state, n in self.by_state.items() if state.succeeded)

    @property
    def failed(self) -> int:
        return sum(n for state, n in self.by_state.items() if state.failed)

    @property
    def executed(self) -> int:
        """The denominator of rates (rollouts 3.2)."""
        return self.succeeded + self.failed

    @property
    def open(self) -> int:
        return sum(n for state, n in self.by_state.items() if not state.terminal)

    def failures(self, kind: Failure) -> int:
        return self.of(*_OF_FAILURE[kind])

    def plus(self, state: Execution, n: int = 1) -> Counts:
        changed = dict(self.by_state)
        changed[state] = changed.get(state, 0) + n
        return Counts({key: count for key, count in changed.items() if count})

    def moved(self, before: Execution, after: Execution) -> Counts:
        return self.plus(before, -1).plus(after)

    def __add__(self, other: Counts) -> Counts:
        total = dict(self.by_state)
        for state, n in other.by_state.items():
            total[state] = total.get(state, 0) + n
        return Counts(total)

    @classmethod
    def recount(cls, states: Iterable[Execution]) -> Counts:
        return cls(dict(Counter(states)))

    def as_json(self) -> dict[str, JsonValue]:
        return {state.value: n for state, n in sorted(self.by_state.items(), key=lambda kv: kv[0].value) if n}

    @classmethod
    def from_json(cls, value: Mapping[str, int]) -> Counts:
        return cls({Execution(key): n for key, n in value.items()})
