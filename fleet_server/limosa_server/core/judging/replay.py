"""Makes a decision once more from its record, and says whether it comes out the same (rollouts 5.6). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.errors import LimosaError
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.rollout.success import Success
from limosa_server.core.counts import Counts
from limosa_server.core.judging.compare import COMPARED, JUDGE, compare
from limosa_server.core.judging.gate import wilson_lower
from limosa_server.core.judging.judge import judge
from limosa_server.core.judging.samples import Comparison


class Outcome(Enum):
    SAME = "same"
    """Decided again on the kept inputs: the same verdict, numbers and sentence."""
    DIFFERENT = "different"
    """The record was changed, or these rules decide otherwise."""
    NOT_POSSIBLE = "not possible"
    """Its inputs are gone, or it was made by rules of another version."""
    NOTHING = "nothing to decide"
    """It records what happened, or what a person decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A decision as it was kept. `wave`: the name of its wave. `inputs` b"": the numbers were all."""

    kind: str
    verdict: str
    sentence: str
    inputs_sha256: str
    numbers: JsonObject
    inputs: bytes = b""
    wave_index: int | None = None
    wave: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    outcome: Outcome
    why: str

    def as_json(self) -> dict[str, JsonValue]:
        return {"outcome": self.outcome.value, "why": self.why}


def replay(record: Record) -> Replay:
    """Never raises for what a database can hold."""
    decide = _REPLAYED.get(record.kind)
    if decide is None:
        return Replay(outcome=Outcome.NOTHING, why="")
    if record.kind == COMPARED and not record.inputs:
        return Replay(outcome=Outcome.NOT_POSSIBLE, why="what it was made on is not kept any more")
    kept = hashlib.sha256(record.inputs or encode_canonical(record.numbers)).hexdigest()
    if kept != record.inputs_sha256:
        return Replay(
            outcome=Outcome.DIFFERENT, why=f"its inputs have the hash {kept[:12]}, not the one it names"
        )
    try:
        return decide(record)
    except (LimosaError, ValueError) as error:
        return Replay(outcome=Outcome.NOT_POSSIBLE, why=f"its record cannot be read: {error}")


def _compared(record: Record) -> Replay:
    made_by = record.numbers.get("judge")
    if made_by != JUDGE:
        return Replay(outcome=Outcome.NOT_POSSIBLE, why=f"{made_by} decided it; these rules are {JUDGE}")
    again = compare(Comparison.parse(record.inputs), wave=record.wave_index or 0).decision
    return _beside(record, verdict=again.verdict, sentence=again.sentence, numbers=again.numbers)


def _gate(record: Record) -> Replay:
    fields = Fields(record.numbers, where="decision.numbers")
    raw = fields.object("counts")
    counts = Counts.from_json({name: Fields(raw, where="decision.counts").integer(name) for name in raw})
    success = Success(percent=fields.number("percent"), min_succeeded=fields.integer("min_succeeded", low=0))
    again = judge(success, counts, wave=fields.integer("wave"), name=record.wave)[1]
    return _beside(record, verdict=again.verdict, sentence=again.sentence, numbers=again.numbers)


def _abort(record: Record) -> Replay:
    fields = Fields(record.numbers, where="decision.numbers")
    failed, executed = fields.integer("failed", low=0), fields.integer("executed", low=0)
    bound = round(wilson_lower(failed, executed, confidence=fields.number("confidence")), 6)
    if bound != fields.number("lower_bound"):
        return Replay(outcome=Outcome.DIFFERENT, why=f"the bound is {bound} now")
    fires = executed >= fields.integer("min_executed") and bound > fields.number("threshold")
    hard = fields.maybe("hard_stop_count", fields.integer)
    if not fires and not (hard is not None and failed >= hard):
        return Replay(outcome=Outcome.DIFFERENT, why="the rule would not fire on these numbers")
    return Replay(outcome=Outcome.SAME, why="")


def _beside(record: Record, *, verdict: str, sentence: str, numbers: Mapping[str, JsonValue]) -> Replay:
    if verdict != record.verdict:
        return Replay(outcome=Outcome.DIFFERENT, why=f"it would be {verdict}: {sentence}")
    if encode_canonical(dict(numbers)) != encode_canonical(record.numbers):
        return Replay(outcome=Outcome.DIFFERENT, why="its numbers would be others")
    if sentence != record.sentence:
        return Replay(outcome=Outcome.DIFFERENT, why=f"it would say: {sentence}")
    return Replay(outcome=Outcome.SAME, why="")


_REPLAYED: Final[Mapping[str, Callable[[Record], Replay]]] = {
    COMPARED: _compared,
    "gate": _gate,
    "abort": _abort,
}
