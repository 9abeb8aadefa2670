"""Worked numbers of the gate and the judge, and the drawings made from the tables."""

from __future__ import annotations

import pytest

from limosa_contracts.errors import Conflict
from limosa_contracts.phases import Execution
from limosa_contracts.rollout.abort import AbortRule, Failure
from limosa_contracts.rollout.success import Success
from limosa_server.core import desired, diagram, operate
from limosa_server.core.counts import Counts
from limosa_server.core.judging import gate
from limosa_server.core.judging.judge import Verdict, judge
from limosa_server.core.rollout import TRANSITIONS, RolloutStatus
from tests.fleet_server.core.fleet import Fleet, spec_of


def counts(good: int, bad: int, queued: int = 0) -> Counts:
    return Counts({Execution.SUCCEEDED: good, Execution.ROLLED_BACK: bad, Execution.QUEUED: queued})


@pytest.mark.parametrize(
    "failed, executed, bound",
    [(0, 0, 0.0), (0, 10, 0.0), (1, 1, 0.2699), (1, 10, 0.0226), (3, 10, 0.1269), (50, 50, 0.9487)],
)
def test_wilson_lower_bound_as_worked_by_hand(failed: int, executed: int, bound: float) -> None:
    assert gate.wilson_lower(failed, executed) == pytest.approx(bound, abs=5e-4)


@pytest.mark.parametrize(
    "good, bad, group, fires",
    [
        (9, 1, 1000, False),  # 10 % of ten is luck
        (7, 3, 1000, True),  # 30 % of ten is not
        (0, 9, 1000, False),  # nine executed are too few by default
        (0, 5, 5, True),  # in a group of five, five are all there is (rollouts 5.0)
        (970, 30, 1000, False),  # the true 3 % under a threshold of 10 %
    ],
)
def test_the_default_rule(good: int, bad: int, group: int, fires: bool) -> None:
    fired = gate.evaluate(AbortRule(), 0, counts(good, bad), silent=0, group=group, scope="all waves")
    assert (fired is not None) is fires


def test_a_hard_stop_needs_no_confidence() -> None:
    fired = gate.evaluate(
        AbortRule(hard_stop_count=2), 0, counts(998, 2), silent=0, group=1000, scope="all waves"
    )
    assert fired is not None
    assert "hard stop" in fired.sentence


def fires(rule: AbortRule, counted: Counts, *, silent: int = 0) -> bool:
    return gate.evaluate(rule, 0, counted, silent=silent, group=100, scope="all waves") is not None


def test_who_wants_to_be_surer_waits_for_more_failures() -> None:
    """3 of 10: the lower bound is 12.7 % with 95 % confidence, 6.5 % with 99.5 %."""
    assert fires(AbortRule(confidence=0.95), counts(7, 3))
    assert not fires(AbortRule(confidence=0.995), counts(7, 3))


def test_a_rule_counts_its_own_kind_of_failure_and_no_other() -> None:
    mixed = Counts({Execution.SUCCEEDED: 5, Execution.ROLLED_BACK: 5, Execution.TIMED_OUT: 1})
    assert fires(AbortRule(failure=Failure.ROLLED_BACK), mixed)
    assert not fires(AbortRule(failure=Failure.TIMED_OUT), mixed)
    assert not fires(AbortRule(failure=Failure.REJECTED), mixed)
    assert fires(AbortRule(failure=Failure.ALL), mixed)


def test_silence_is_a_share_of_those_who_ended_or_fell_silent_and_no_failure_by_itself() -> None:
    rule = AbortRule(failure=Failure.SILENT)
    assert not fires(rule, counts(17, 0), silent=3), "3 of 20: at least 6 %"
    assert fires(rule, counts(7, 0), silent=3), "3 of 10: at least 13 %"
    assert not fires(AbortRule(), counts(7, 0), silent=3)


@pytest.mark.parametrize(
    "good, bad, verdict",
    [(19, 1, Verdict.PASSED), (18, 2, Verdict.FAILED), (0, 0, Verdict.INCONCLUSIVE), (1, 0, Verdict.PASSED)],
)
def test_the_criteria_judge(good: int, bad: int, verdict: Verdict) -> None:
    assert judge(Success(), counts(good, bad, queued=3), wave=0, name="canary")[0] is verdict


def test_fewer_successes_than_asked_for_are_never_a_pass() -> None:
    verdict, decision = judge(Success(min_succeeded=5), counts(3, 0, queued=7), wave=0, name="canary")
    assert verdict is Verdict.INCONCLUSIVE
    assert "5 successes" in decision.sentence


def test_the_same_inputs_give_the_same_record() -> None:
    """rollouts 5.6: deterministic, with the hash of its inputs."""
    one, two = (judge(Success(), counts(9, 1), wave=0, name="canary")[1] for _ in range(2))
    assert one == two
    assert one.inputs_sha256 == two.inputs_sha256
    assert judge(Success(), counts(9, 2), wave=0, name="canary")[1].inputs_sha256 != one.inputs_sha256


def test_what_a_state_does_not_allow_is_an_error_not_ignored() -> None:
    fleet = Fleet(spec_of(waves=[{"name": "all", "bake": "0s"}]))
    fleet.run(60)
    with pytest.raises(Conflict, match="COMPLETED cannot pause"):
        operate.pause(fleet.rollout, now=0.0, by="eva")


def test_states_allow_what_their_table_has() -> None:
    for status in RolloutStatus:
        events = {event.value for event in TRANSITIONS[status]}
        assert status.allows.pause == ("pause" in events)
        assert status.allows.resume == ("resume" in events)
        assert status.allows.cancel == ("cancel" in events)
        assert status.terminal == (not events)


def test_the_drawings_name_every_state() -> None:
    drawings = diagram.diagrams()
    assert all(status.name in drawings["Rollout"] for status in RolloutStatus)
    assert "PENDING --> IN_PROGRESS: start" in drawings["Wave"]
    assert "[*] --> QUEUED" in drawings["Execution"]


def test_a_counter_is_above_all_that_was_seen() -> None:
    """trust 4.3."""
    assert desired.next_counter(7, now=0.001, reported=0) == 8
    assert desired.next_counter(7, now=0.001, reported=900) == 901
    assert desired.next_counter(7, now=1700000000.0) == 1700000000000


def test_the_tick_decides_nothing_twice() -> None:
    """Level-triggered: the same facts after a tick give no further decision."""
    fleet = Fleet(spec_of(waves=[{"name": "all"}]))
    fleet.tick()
    again = fleet.tick()
    assert (again.runs, again.orders, again.decisions) == ((), (), ())
