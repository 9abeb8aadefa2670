"""The demo says yes only to what was observed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limosa_devices.demo.verdict import EXPECTED_STATUS, Failure, Interval, Observed, judge

COLLAPSED = ("4.0.0", "FELL_BACK", "output_collapse")
STOPPED = {
    ("3.0.0", "FELL_BACK", "worker_crashed"),
    ("3.0.1", "REJECTED", "golden_mismatch"),
    COLLAPSED,
}
GOOD = Observed(
    devices=6,
    rollouts=tuple(EXPECTED_STATUS.items()),
    running={"demo/motion@2.0.0": 6},
    fallbacks=2,
    rejected=1,
    requests=1000,
    failures=(),
    crashes={"dev-1": (100.0,)},
    killed={"dev-2": Interval(begin=50.0, end=60.0)},
    offline_converged=True,
    killed_recovered=True,
    stopped=STOPPED,
    seconds=90.04,
)


def test_everything_observed_is_a_yes_with_the_object_that_readers_know() -> None:
    verdict = judge(GOOD)
    assert verdict.ok
    assert verdict.result["schema"] == "limosa.demo/1"
    assert verdict.result["failed_requests"] == 0
    assert verdict.result["seconds"] == 90.0
    assert verdict.result["running"] == {"demo/motion@2.0.0": 6}


@pytest.mark.parametrize(
    "change",
    [
        {"rollouts": GOOD.rollouts[:-1]},
        {"rollouts": (*GOOD.rollouts[:-1], ("demo/motion@4.0.0", "COMPLETED"))},
        {"running": {"demo/motion@2.0.0": 5, "demo/motion@1.0.0": 1}},
        {"fallbacks": 0},
        {"rejected": 0},
        {"crashes": {}},
        {"requests": 0},
        {"failures": (Failure(device="dev-3", at=55.0, what="HTTP 500", broken=False),)},
        {"offline_converged": False},
        {"killed_recovered": False},
        *({"stopped": STOPPED - {one}} for one in sorted(STOPPED)),
        {"stopped": STOPPED - {COLLAPSED} | {("2.0.0", *COLLAPSED[1:])}},
    ],
)
def test_each_missing_fact_is_a_no_that_says_so(change: dict[str, object]) -> None:
    verdict = judge(replace(GOOD, **change))  # type: ignore[arg-type]  # fields by name
    assert not verdict.ok
    assert len(verdict.missing) == 1


def test_a_broken_connection_counts_as_lost_only_near_a_crash_of_the_same_device() -> None:
    failures = (
        Failure(device="dev-1", at=101.0, what="reset", broken=True),  # its worker crashed at 100
        Failure(device="dev-2", at=55.0, what="refused", broken=True),  # its supervisor was dead
        Failure(device="dev-3", at=100.0, what="reset", broken=True),  # nothing crashed there
        Failure(device="dev-1", at=101.0, what="HTTP 503", broken=False),  # an answer is no broken connection
        Failure(device="dev-1", at=104.0, what="reset", broken=True),  # long after the crash
    )
    verdict = judge(replace(GOOD, failures=failures))
    assert verdict.result["requests_lost_to_crash"] == 1
    assert verdict.result["requests_while_killed"] == 1
    assert verdict.result["failed_requests"] == 3
    assert not verdict.ok
