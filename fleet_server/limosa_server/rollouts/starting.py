"""Starts a rollout without keeping others from writing: planned while they write, written in one short turn.

A plan over 100,000 devices takes seconds (server 7). It is made of a snapshot; the transaction that writes
it looks first whether the same plan would be made of what is there now, and begins again where it would not.
The last attempt plans in its own turn: a fleet that never stands still is made to wait, not refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from limosa_server.rollouts.rollout_plan import Made
from limosa_server.rollouts.rollout_start import Prepared, prepare
from limosa_server.store import Store, Transaction
from limosa_server.tables.rollouts import RolloutRow

APART_MAX: Final = 2
"""Plans that may turn out to be of yesterday before one is made in the turn that writes it."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Starting:
    """`known`: the rollout that this request has started before, if it has; `make` plans, and raises what
    refuses the plan; `write` starts it."""

    known: Callable[[Transaction], RolloutRow | None]
    make: Callable[[Transaction], Made]
    write: Callable[[Transaction, Prepared], RolloutRow]

    def run(self, store: Store, answer: Callable[[Transaction, RolloutRow], Answer]) -> Answer:
        """`answer`: what to say of the rollout, in the transaction that found or wrote it."""
        for _ in range(APART_MAX):
            with store.read() as tx:
                row = self.known(tx)
                if row is not None:
                    return answer(tx, row)
                made = self.make(tx)
                ready = prepare(tx, made.plan, now=made.now)
            with store.transaction() as tx:
                row = self.known(tx)
                if row is None and made.still_holds(tx):
                    row = self.write(tx, ready)
                if row is not None:
                    return answer(tx, row)
        with store.transaction() as tx:
            return answer(tx, self.known(tx) or self._at_once(tx))

    def _at_once(self, tx: Transaction) -> RolloutRow:
        made = self.make(tx)
        return self.write(tx, prepare(tx, made.plan, now=made.now))
