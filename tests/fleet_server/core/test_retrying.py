"""A further attempt, only where something has changed (rollouts 3.9)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.phases import Execution
from limosa_contracts.rollout.retry import Retry
from limosa_server.core.execution import DeviceExecution
from limosa_server.core.retrying import WAITS_FOR, Condition, again, give_up, may_try
from limosa_server.core.rollout import RolloutStatus
from tests.fleet_server.core.fleet import FALLS_BACK, HANGS, Fleet, spec_of

ONE = [{"name": "all", "bake": "0s"}]
SHORT = {"offer": "30s", "in_progress": "30s", "silence": "5s"}
AGAIN = {"attempts": 2, "backoff": "5s"}


def test_a_full_disk_is_not_tried_again_against_the_same_free_space() -> None:
    fleet = Fleet(spec_of(waves=ONE, retry=AGAIN, abort=[], timeouts=SHORT), 1)
    fleet.devices["d0"].refuses = "disk_full"
    fleet.run(25)
    run = fleet.runs["d0"]
    assert (run.state, run.attempt, len(fleet.offered)) == (Execution.QUEUED, 2, 1)
    assert "more free space" in run.reason
    fleet.devices["d0"].refuses = ""
    fleet.devices["d0"].disk_free_bytes += 100 << 20  # somebody has tidied up
    assert fleet.run(60) is RolloutStatus.COMPLETED
    assert len(fleet.offered) == 2


def test_a_disk_that_stays_full_holds_its_wave_no_longer_than_a_clock() -> None:
    """3.8: one stuck device blocks nobody."""
    spec = spec_of(waves=ONE, retry=AGAIN, abort=[], success={"percent": 50}, timeouts=SHORT)
    fleet = Fleet(spec, 3)
    fleet.devices["d0"].refuses = "disk_full"
    assert fleet.run(120) is RolloutStatus.COMPLETED
    assert fleet.runs["d0"].state is Execution.REJECTED
    assert fleet.runs["d0"].reason.endswith("nothing has changed")
    assert fleet.runs["d0"].reason_code == "disk_full"


def test_a_device_that_hung_is_tried_again_as_often_as_the_file_says() -> None:
    spec = spec_of(waves=ONE, retry=AGAIN, abort=[], timeouts=SHORT)
    fleet = Fleet(spec, 1, behaviours={"d0": HANGS})
    fleet.run(400)
    assert len(fleet.offered) == 3
    assert (fleet.runs["d0"].attempt, fleet.runs["d0"].state) == (3, Execution.TIMED_OUT)
    gaps = [
        later - earlier for (earlier, _), (later, _) in zip(fleet.offered, fleet.offered[1:], strict=False)
    ]
    assert gaps[1] >= gaps[0] + 5, "it waits twice as long before the third"


def test_what_the_device_has_quarantined_is_not_tried_again() -> None:
    spec = spec_of(waves=ONE, retry=AGAIN, abort=[], timeouts=SHORT)
    fleet = Fleet(spec, 1, behaviours={"d0": FALLS_BACK})
    assert fleet.run(60) is RolloutStatus.FAILED
    assert len(fleet.offered) == 1


def test_without_retry_in_the_file_nothing_is_tried_again() -> None:
    fleet = Fleet(spec_of(waves=ONE, abort=[], timeouts=SHORT), 1)
    fleet.devices["d0"].refuses = "disk_full"
    assert fleet.run(60) is RolloutStatus.FAILED


@pytest.mark.parametrize(
    "code, then, now, may",
    [
        ("disk_full", Condition(disk_free_bytes=5), Condition(disk_free_bytes=6), False),
        ("disk_full", Condition(disk_free_bytes=5), Condition(disk_free_bytes=5 + (1 << 20)), True),
        ("disk_full", Condition(), Condition(), False),
        ("no_fitting_variant", Condition(about="a"), Condition(about="a", last_seen=9), False),
        ("no_fitting_variant", Condition(about="a"), Condition(about="b"), True),
        ("timed_out", Condition(last_seen=5), Condition(last_seen=5), False),
        ("timed_out", Condition(last_seen=5), Condition(last_seen=6), True),
    ],
)
def test_what_must_have_changed_is_what_it_was_about(
    code: str, then: Condition, now: Condition, may: bool
) -> None:
    failed = DeviceExecution(device="d", wave=0, state=Execution.REJECTED, reason_code=code)
    queued = again(failed, Retry(attempts=1, backoff_s=10), then, now=100.0)
    assert (queued.state, queued.attempt, queued.not_before) == (Execution.QUEUED, 2, 110.0)
    assert not may_try(queued, now, now=109.0)
    assert may_try(queued, now, now=110.0) is may
    assert give_up(queued, now=200.0).state is Execution.REJECTED


CONDITIONS = st.builds(
    Condition,
    disk_free_bytes=st.none() | st.integers(0, 1 << 40),
    about=st.text(max_size=8),
    last_seen=st.floats(0, 1e10),
)


@given(CONDITIONS)
def test_a_condition_is_kept_as_it_was(condition: Condition) -> None:
    assert Condition.from_json(condition.as_json()) == condition


@given(
    st.sampled_from([state for state in Execution if state.terminal]),
    st.sampled_from([*WAITS_FOR, "worker_crashed", "quarantined", ""]),
    st.integers(1, 12),
    st.integers(0, 10),
    CONDITIONS,
)
def test_attempts_are_bounded_and_only_failures_are_tried_again(
    state: Execution, code: str, attempt: int, attempts: int, condition: Condition
) -> None:
    run = DeviceExecution(device="d", wave=0, state=state, reason_code=code, attempt=attempt)
    after = again(run, Retry(attempts=attempts), condition, now=0.0)
    if after is not run:
        assert state.failed
        assert after.attempt == attempt + 1 <= attempts + 1
        assert code in WAITS_FOR
