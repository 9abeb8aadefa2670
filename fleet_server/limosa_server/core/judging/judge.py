"""The `criteria` judge: counts in, verdict and sentence out (rollouts 5.0). Too little data never passes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.success import Success
from limosa_server.core.counts import Counts


class Verdict(Enum):
    PASSED = "PASSED"
    FAILED = "FAILED"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision, so that it can be replayed and explained (rollouts 5.6)."""

    kind: str  # started | wave_started | through | gate | abort | paused | completed | …
    verdict: str
    sentence: str
    numbers: dict[str, JsonValue]
    wave: int | None = None
    by: str = "controller"
    inputs: bytes = b""  # what it was made on, where that is more than the numbers

    @property
    def inputs_sha256(self) -> str:
        return hashlib.sha256(self.inputs or encode_canonical(self.numbers)).hexdigest()


def meets(counts: Counts, percent: float) -> bool:
    """Whether succeeded/executed reaches `percent`, exactly; no one executed: no.

    >>> from limosa_contracts.phases import Execution
    >>> meets(Counts({Execution.SUCCEEDED: 19, Execution.FAILED: 1}), 95.0)
    True
    """
    executed = counts.executed
    return executed > 0 and counts.succeeded * 100 >= Fraction(str(percent)) * executed


def asked_of(success: Success, planned: int) -> Success:
    """`min_succeeded` is at most the devices that a wave was planned with, so that a small one can pass; not
    those that are left in it when the others went to the tail, for whom it was asked."""
    return replace(success, min_succeeded=min(success.min_succeeded, max(1, planned)))


def judge(success: Success, counts: Counts, *, wave: int, name: str) -> tuple[Verdict, Decision]:
    """The gate after a wave, on that wave's counts. `success.min_succeeded`: of what it was planned with
    (`asked_of`)."""
    executed, succeeded = counts.executed, counts.succeeded
    needed = success.min_succeeded
    if executed == 0:
        verdict, why = Verdict.INCONCLUSIVE, "no device of it executed the update"
    elif not meets(counts, success.percent):
        verdict, why = Verdict.FAILED, f"{success.percent:g} % of executed devices are needed"
    elif succeeded < max(1, needed):
        verdict, why = Verdict.INCONCLUSIVE, f"{needed} successes are needed"
    else:
        verdict, why = Verdict.PASSED, f"{success.percent:g} % are needed"
    decision = Decision(
        kind="gate",
        verdict=verdict.value,
        sentence=f"wave {name}: {succeeded} of {executed} executed devices succeeded; {why}",
        numbers={
            "wave": wave,
            "counts": counts.as_json(),
            "executed": executed,
            "succeeded": succeeded,
            "percent": success.percent,
            "min_succeeded": needed,
        },
        wave=wave,
    )
    return verdict, decision
