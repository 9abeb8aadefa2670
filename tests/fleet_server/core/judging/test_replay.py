"""Any decision can be made once more from its record (rollouts 5.6)."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.phases import Execution
from limosa_contracts.rollout.abort import AbortRule
from limosa_contracts.rollout.success import Success
from limosa_server.core.counts import Counts
from limosa_server.core.judging import gate
from limosa_server.core.judging.compare import compare
from limosa_server.core.judging.judge import Decision, judge
from limosa_server.core.judging.replay import Outcome, Record, replay
from tests.fleet_server.core.judging.test_compare import comparisons, good, hits


def record(decision: Decision, *, wave: str = "canary") -> Record:
    return Record(
        kind=decision.kind,
        verdict=decision.verdict,
        sentence=decision.sentence,
        inputs_sha256=decision.inputs_sha256,
        numbers=decision.numbers,
        inputs=decision.inputs,
        wave_index=decision.wave,
        wave=wave,
    )


@given(comparisons())
def test_every_comparison_comes_out_the_same(inputs: object) -> None:
    judged = compare(inputs, wave=2)  # type: ignore[arg-type]  # the strategy gives a Comparison
    assert replay(record(judged.decision)).outcome is Outcome.SAME


@given(st.integers(0, 50), st.integers(0, 50), st.floats(1, 100), st.integers(0, 10))
def test_every_gate_comes_out_the_same(good: int, bad: int, percent: float, least: int) -> None:
    counts = Counts({Execution.SUCCEEDED: good, Execution.ROLLED_BACK: bad})
    decision = judge(Success(percent=percent, min_succeeded=least), counts, wave=1, name="half")[1]
    assert replay(record(decision, wave="half")).outcome is Outcome.SAME


@given(st.integers(0, 60), st.integers(0, 60), st.none() | st.integers(1, 20))
def test_every_abort_comes_out_the_same(good: int, bad: int, hard: int | None) -> None:
    counts = Counts({Execution.SUCCEEDED: good, Execution.FAILED: bad})
    rule = AbortRule(hard_stop_count=hard)
    fired = gate.evaluate(rule, 0, counts, silent=0, group=100, scope="all waves")
    if fired is None:
        return
    decision = Decision(kind="abort", verdict="PAUSE", sentence=fired.sentence, numbers=fired.numbers)
    assert replay(record(decision)).outcome is Outcome.SAME


def test_somebody_has_touched_the_inputs_and_the_hash_tells() -> None:
    kept = record(compare(good(crashes=hits("crashes", (12, 20), (0, 80))), wave=0).decision)
    touched = replace(kept, inputs=kept.inputs.replace(b'"crashes"', b'"silence"', 1))
    found = replay(touched)
    assert found.outcome is Outcome.DIFFERENT
    assert "hash" in found.why


def test_somebody_has_touched_inputs_and_hash_but_not_the_verdict() -> None:
    failed = compare(good(crashes=hits("crashes", (12, 20), (0, 80))), wave=0).decision
    passed = compare(good(), wave=0).decision
    found = replay(replace(record(failed), inputs=passed.inputs, inputs_sha256=passed.inputs_sha256))
    assert found.outcome is Outcome.DIFFERENT
    assert "it would be PASSED" in found.why


def test_a_decision_of_older_rules_is_not_claimed_to_come_out_otherwise() -> None:
    decision = compare(good(), wave=0).decision
    older = replace(decision, numbers={**decision.numbers, "judge": "compare/0"})
    found = replay(record(older))
    assert found.outcome is Outcome.NOT_POSSIBLE
    assert "compare/0" in found.why


def test_what_a_person_did_is_nothing_to_decide() -> None:
    resumed = Decision(kind="resumed", verdict="RUNNING", sentence="resumed by ada", numbers={"by": "ada"})
    assert replay(record(resumed)).outcome is Outcome.NOTHING


@pytest.mark.parametrize("kind", ["compared", "gate", "abort"])
@given(
    st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=5), max_size=4),
    st.binary(max_size=40),
)
def test_no_record_is_too_broken_to_say_so(kind: str, numbers: dict[str, int | str], body: bytes) -> None:
    kept = Record(
        kind=kind,
        verdict="PASSED",
        sentence="s",
        inputs_sha256=hashlib.sha256(body or encode_canonical(dict(numbers))).hexdigest(),
        numbers=dict(numbers),
        inputs=body,
    )
    assert replay(kept).outcome in (Outcome.NOT_POSSIBLE, Outcome.DIFFERENT)
