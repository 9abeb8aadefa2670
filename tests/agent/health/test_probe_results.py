"""What a probe's answers say of a version (agent 4.2)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.health.facts import ProbeFacts
from limosa_agent.health.probe_config import AskHttp, ProbeConfig
from limosa_agent.health.probe_results import ProbeResult, ProbeResults

PROBE = ProbeConfig(
    name="camera", question=AskHttp(host="127.0.0.1", port=9, path="/"), fail=2, of=3, start_grace_s=10.0
)


def answered(*answers: tuple[float, bool]) -> ProbeResults:
    results = ProbeResults(probe=PROBE)
    for asked_s, ok in answers:
        results.note(ProbeResult(asked_s=asked_s, ok=ok, said="" if ok else "exit code 1"))
    return results


def since(results: ProbeResults, moment_s: float) -> ProbeFacts:
    return results.since(moment_s, failed_before=results.failing_before(moment_s))


def test_two_bad_answers_of_three_fail_and_one_does_not() -> None:
    assert not since(answered((20.0, True), (21.0, False)), 0.0).failing
    facts = since(answered((20.0, True), (21.0, False), (22.0, False)), 0.0)
    assert (facts.failing, facts.said) == (True, "exit code 1")
    assert not since(answered((20.0, False), (21.0, False), (22.0, True), (23.0, True)), 0.0).failing


def test_bad_answers_right_after_the_switch_do_not_count_and_are_waited_for() -> None:
    facts = since(answered((1.0, False), (2.0, False), (3.0, False)), 0.0)
    assert (facts.failing, facts.waiting) == (False, True)
    assert not since(answered((1.0, False), (2.0, True)), 0.0).waiting
    assert since(answered((1.0, True), (11.0, False), (12.0, False)), 0.0).failing


def test_an_answer_to_a_question_from_before_the_switch_says_nothing_of_it() -> None:
    facts = since(answered((-1.0, True)), 0.0)
    assert (facts.asked, facts.waiting) == (0, True)


def test_a_probe_that_failed_before_is_excused_until_it_passes_once() -> None:
    before = ((-3.0, False), (-2.0, False), (-1.0, False))
    still_bad = since(answered(*before, (20.0, False), (21.0, False), (22.0, False)), 0.0)
    assert (still_bad.excused, still_bad.failing, still_bad.waiting) == (True, False, False)
    bad_again = since(answered(*before, (20.0, True), (21.0, False), (22.0, False)), 0.0)
    assert (bad_again.excused, bad_again.failing) == (False, True)


def test_a_pass_is_remembered_longer_than_the_answers_are_kept() -> None:
    answers = [(20.0, True), *((21.0 + i, False) for i in range(200))]
    facts = since(answered(*answers), 0.0)
    assert (facts.passed, facts.failing) == (True, True)


@given(st.lists(st.booleans(), max_size=80), st.integers(0, 80))
def test_never_failing_and_excused_nor_bad_beyond_the_last_m(oks: list[bool], switch: int) -> None:
    results = answered(*((float(i), ok) for i, ok in enumerate(oks)))
    facts = since(results, float(switch))
    assert not (facts.failing and facts.excused)
    assert 0 <= facts.bad <= PROBE.of
    if all(oks[switch:]):
        assert not facts.failing


def test_one_good_answer_in_the_grace_ends_the_excuse_and_what_is_bad_after_it_counts() -> None:
    """It passed at once after the switch, so the version can be blamed from there on."""
    before = ((-3.0, False), (-2.0, False), (-1.0, False))
    facts = since(answered(*before, (1.0, True), (11.0, False), (12.0, False), (13.0, True)), 0.0)
    assert (facts.excused, facts.bad, facts.failing) == (False, 2, True)


def test_what_is_asked_in_the_moment_of_the_switch_is_asked_of_what_serves_after_it() -> None:
    results = answered((-2.0, True), (-1.0, False), (0.0, False))
    assert not results.failing_before(0.0)
    assert results.since(0.0, failed_before=False).asked == 1
