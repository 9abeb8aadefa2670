"""From a file to a rollout that runs: approval, its time, who keeps the devices (rollouts 2, 4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limosa_contracts.errors import Conflict
from limosa_contracts.phases import Execution
from limosa_server.core import operate
from limosa_server.core.approval import Vote, check_vote
from limosa_server.core.errors import ApprovalRefused
from limosa_server.core.rollout import RolloutStatus
from tests.fleet_server.core.fleet import Fleet, spec_of

ONE = [{"name": "all", "bake": "0s"}]


def waiting(**approval: object) -> Fleet:
    fleet = Fleet(spec_of(waves=ONE, approval=approval), 3)
    fleet.run(3)
    return fleet


def test_nothing_is_offered_before_the_people_have_agreed() -> None:
    fleet = waiting(approvers=2)
    assert fleet.rollout.status is RolloutStatus.WAITING_FOR_APPROVAL
    assert fleet.rollout.reason == "2 people must agree"
    fleet.votes.append(Vote(actor="otto", approves=True))
    fleet.run(3)
    assert (fleet.rollout.status, fleet.offered) == (RolloutStatus.WAITING_FOR_APPROVAL, [])
    fleet.votes.append(Vote(actor="ada", approves=True))
    assert fleet.run(60) is RolloutStatus.COMPLETED
    assert fleet.took_over


def test_who_made_the_rollout_cannot_be_one_of_the_four_eyes() -> None:
    fleet = waiting(approvers=1)
    with pytest.raises(ApprovalRefused, match="somebody else"):
        check_vote(fleet.rollout, Vote(actor="eva", approves=True))
    fleet.votes.append(Vote(actor="eva", approves=True))  # however it came into the table
    fleet.run(3)
    assert fleet.rollout.status is RolloutStatus.WAITING_FOR_APPROVAL


def test_without_four_eyes_the_author_may_agree_too() -> None:
    fleet = waiting(approvers=1, four_eyes=False)
    vote = Vote(actor="eva", approves=True)
    check_vote(fleet.rollout, vote)
    fleet.votes.append(vote)
    assert fleet.run(60) is RolloutStatus.COMPLETED


def test_one_no_is_enough_and_it_is_said_whose_and_why() -> None:
    fleet = waiting(approvers=1)
    fleet.votes += [
        Vote(actor="otto", approves=True, at=2.0),
        Vote(actor="ada", approves=False, remark="not on a Friday", at=1.0),
    ]
    assert fleet.run(3) is RolloutStatus.APPROVAL_DENIED
    assert fleet.rollout.reason == "denied by ada: not on a Friday"
    assert {run.state for run in fleet.runs.values()} == {Execution.CANCELED}
    assert [one.by for one in fleet.decisions if one.kind == "denied"] == ["ada"]


def test_a_remark_that_is_asked_for_is_needed() -> None:
    fleet = waiting(approvers=1, remark=True)
    with pytest.raises(ApprovalRefused, match="remark"):
        check_vote(fleet.rollout, Vote(actor="ada", approves=True))
    check_vote(fleet.rollout, Vote(actor="ada", approves=True, remark="looked at the plan"))


def test_a_rollout_that_does_not_wait_cannot_be_approved() -> None:
    fleet = Fleet(spec_of(waves=ONE), 3)
    fleet.run(1)
    with pytest.raises(ApprovalRefused, match="RUNNING"):
        check_vote(fleet.rollout, Vote(actor="ada", approves=True))


def test_a_scheduled_rollout_starts_at_its_time_and_not_before() -> None:
    fleet = Fleet(spec_of(waves=ONE, schedule={"start": "1970-01-01T00:18:20Z"}), 3)  # at 1100
    fleet.run(99)
    assert (fleet.rollout.status, fleet.offered) == (RolloutStatus.SCHEDULED, [])
    assert "it starts at 1970-01-01T00:18:20Z" in fleet.rollout.reason
    assert fleet.run(60) is RolloutStatus.COMPLETED
    assert min(at for at, _ in fleet.offered) >= 1100.0


def test_approval_comes_before_the_time_and_a_late_approval_starts_at_once() -> None:
    spec = spec_of(waves=ONE, approval={"approvers": 1}, schedule={"start": "1970-01-01T00:18:20Z"})
    fleet = Fleet(spec, 3)
    fleet.run(10)
    fleet.votes.append(Vote(actor="ada", approves=True))
    fleet.run(1)
    assert fleet.rollout.status is RolloutStatus.SCHEDULED
    late = Fleet(spec, 3)
    late.run(200)
    assert late.rollout.status is RolloutStatus.WAITING_FOR_APPROVAL
    late.votes.append(Vote(actor="ada", approves=True))
    assert late.run(1) is RolloutStatus.RUNNING


def test_a_release_that_was_retracted_while_people_slept_is_not_started_in_the_morning() -> None:
    fleet = waiting(approvers=1)
    fleet.votes.append(Vote(actor="ada", approves=True))
    fleet.obstacle = "its release was retracted: leaks memory"
    assert fleet.run(3) is RolloutStatus.INVALID
    assert "leaks memory" in fleet.rollout.reason
    assert {run.state for run in fleet.runs.values()} == {Execution.CANCELED}


def test_a_hotfix_keeps_its_devices_and_the_others_are_offered_the_release() -> None:
    fleet = Fleet(spec_of(waves=ONE), 3)
    fleet.held = {"d1": 7}
    assert fleet.run(60) is RolloutStatus.COMPLETED
    assert fleet.runs["d1"].state is Execution.SUPERSEDED
    assert "rollout 7 has it" in fleet.runs["d1"].reason
    assert fleet.running() == {"1.0.0": 1, "2.0.0": 2}


def test_a_rollout_all_of_whose_devices_another_one_has_is_superseded() -> None:
    fleet = Fleet(spec_of(waves=ONE), 2)
    fleet.held = {"d0": 7, "d1": 7}
    assert fleet.run(3) is RolloutStatus.SUPERSEDED


def test_a_draft_does_nothing_until_it_is_submitted() -> None:
    fleet = Fleet(spec_of(waves=ONE), 2)
    fleet.rollout = replace(fleet.rollout, status=RolloutStatus.DRAFT)
    fleet.run(20)
    assert (fleet.rollout.status, fleet.offered) == (RolloutStatus.DRAFT, [])
    fleet.rollout, _ = operate.submit(fleet.rollout, now=fleet.now, by="eva")
    assert fleet.run(60) is RolloutStatus.COMPLETED
    with pytest.raises(Conflict):
        operate.submit(fleet.rollout, now=fleet.now, by="eva")
