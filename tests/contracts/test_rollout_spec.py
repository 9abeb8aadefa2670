"""A rollout file is parsed and refused at creation, with the place and the reason (rollouts 4)."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.duration import format_duration, parse_duration
from limosa_contracts.errors import InvalidField, RequestError
from limosa_contracts.rollout.analysis import OnInconclusive
from limosa_contracts.rollout.control import Control
from limosa_contracts.rollout.metrics import METRICS, NoData
from limosa_contracts.rollout.rate import Exponential, Rate
from limosa_contracts.rollout.spec import RolloutSpec

GOLDEN = Path(__file__).parent / "golden" / "rollout_spec-1.json"
GOLDEN_FULL = Path(__file__).parent / "golden" / "rollout_spec-2.json"
GOLDEN_COMPARED = Path(__file__).parent / "golden" / "rollout_spec-3.json"
FILE = """
release = "demo/motion@2.0.0"
group = "watches"
waves = [
  { name = "canary", count = 1, bake = "5s" },
  { name = "half", percent = 50, bake = "90m", then = "pause" },
  { name = "rest", bake = "24h" },
]
abort = [{ failure = "all", threshold = 0.1, min_executed = 1, action = "rollback" }]
[rate]
maximum_per_minute = 60
[success]
percent = 95
reachable_within = "7d"
[trial]
inferences = 20
seconds = 5
[telemetry]
report_every = "2s"
[timeouts]
offer = "30s"
in_progress = "60s"
silence = "5s"
[on_failure]
rollback = "all"
"""


def test_a_file_and_the_same_fields_as_json_are_the_same_rollout() -> None:
    from_file = RolloutSpec.parse(tomllib.loads(FILE))
    assert RolloutSpec.parse(json.loads(from_file.encode())) == from_file
    assert from_file.waves[1].bake_s == 5400.0
    assert from_file.trial.inferences == 20
    assert from_file.report_every_in_probation_s == 2.0


def test_the_golden_file_of_version_1_still_parses_to_the_same() -> None:
    spec = RolloutSpec.parse(tomllib.loads(FILE))
    assert json.loads(GOLDEN.read_bytes()) == json.loads(spec.encode())


def test_the_golden_file_with_every_field_is_read_and_written_byte_for_byte() -> None:
    data = GOLDEN_FULL.read_bytes()
    assert RolloutSpec.parse(json.loads(data)).encode() == data


def test_what_is_compared_is_read_and_written_byte_for_byte() -> None:
    data = GOLDEN_COMPARED.read_bytes()
    spec = RolloutSpec.parse(json.loads(data))
    assert spec.encode() == data
    assert spec.control == Control(percent=30.0, stratify_by=("profile", "zone"))
    latency, crashes = spec.analysis
    assert (latency.margin, latency.critical, latency.no_data) == (0.1, True, NoData.FAIL)
    assert (crashes.margin, crashes.looks, crashes.alpha) == (None, 2, 0.01)
    assert spec.on_inconclusive is OnInconclusive.PAUSE


def test_a_file_that_says_nothing_of_controls_compares_every_metric() -> None:
    spec = RolloutSpec.parse({"release": "a/b@1.0.0", "group": "g"})
    assert spec.control.percent == 20
    assert [rule.metric for rule in spec.analysis] == list(METRICS)
    assert [rule.metric for rule in spec.analysis if rule.critical] == ["failures"]


def test_a_start_in_any_zone_is_the_same_moment() -> None:
    starts = ("2026-12-01T02:00:00Z", "2026-12-01T03:00:00+01:00")
    specs = [
        RolloutSpec.parse({"release": "a/b@1.0.0", "group": "g", "schedule": {"start": start}})
        for start in starts
    ]
    assert specs[0] == specs[1]


@given(
    st.integers(1, 1000), st.floats(1.1, 100), st.integers(1, 1000), st.integers(0, 10**7), st.integers(1, 99)
)
def test_the_rate_never_falls_while_devices_succeed_and_never_exceeds_its_maximum(
    base: int, factor: float, after: int, succeeded: int, more: int
) -> None:
    rate = Rate(
        maximum_per_minute=1000, exponential=Exponential(base_per_minute=base, factor=factor, after=after)
    )
    assert base <= rate.per_minute(succeeded) <= rate.per_minute(succeeded + more) <= 1000


def test_what_is_left_out_is_safe() -> None:
    spec = RolloutSpec.parse({"release": "demo/motion@1.0.0", "group": "all"})
    assert [wave.name for wave in spec.waves] == ["canary", "half", "rest"]
    assert spec.abort[0].threshold == 0.10
    assert spec.waves[0].bake_s == 86400.0


@pytest.mark.parametrize(
    "change, place, says",
    [
        ({"release": "motion"}, "release", "release"),
        ({"group": ""}, "group", "empty"),
        ({"selector": "a=b"}, "group", "one target"),
        ({"wave": []}, "wave", "waves"),
        ({"waves": []}, "waves", "at least one"),
        ({"waves": [{"name": "a", "percent": 10}]}, "waves[0]", "takes the rest"),
        ({"waves": [{"name": "a"}, {"name": "b"}]}, "waves[0]", "only the last"),
        ({"waves": [{"name": "a", "percent": 5, "count": 2}, {"name": "b"}]}, "waves[0]", "one size"),
        (
            {"waves": [{"name": "a", "percent": 50}, {"name": "b", "percent": 20}, {"name": "c"}]},
            "waves[1].percent",
            "cumulative",
        ),
        ({"waves": [{"name": "a", "bake": "soon"}]}, "waves[0].bake", "length of time"),
        ({"waves": [{"name": "tail"}]}, "waves", "tail"),
        ({"abort": [{"threshold": 1.5}]}, "abort[0].threshold", "outside"),
        ({"abort": [{"treshold": 0.1}]}, "abort[0].treshold", "threshold"),
        ({"abort": [{"action": "explode"}]}, "abort[0].action", "rollback"),
        (
            {"abort": [{"action": "rollback"}], "on_failure": {"rollback": "none"}},
            "on_failure.rollback",
            "none",
        ),
        ({"control": {"percent": 60}}, "control.percent", "outside"),
        ({"control": {"stratify_by": ["site", "site"]}}, "control.stratify_by", "twice"),
        ({"control": {"stratify_by": ["no label!"]}}, "control.stratify_by[0]", "match"),
        ({"analysis": []}, "analysis", "control.percent = 0"),
        ({"analysis": [{"metric": "mood"}]}, "analysis[0].metric", "latency"),
        ({"analysis": [{"metric": "latency", "margn": 0.1}]}, "analysis[0].margn", "margin"),
        ({"analysis": [{"metric": "latency"}, {"metric": "latency"}]}, "analysis", "twice"),
        ({"analysis": [{"metric": "latency"}, {"metric": "memory", "looks": 2}]}, "analysis", "looks"),
        ({"analysis": [{"metric": "latency", "alpha": 0.5}]}, "analysis[0].alpha", "outside"),
        ({"on_inconclusive": "pass"}, "on_inconclusive", "extend"),
        ({"schedule": {"start": "now"}}, "schedule.start", "not a time"),
        ({"schedule": {"start": "2026-12-01T02:00:00"}}, "schedule.start", "time zone"),
        ({"schedule": {"start": "9999-12-01T02:00:00Z"}}, "schedule.start", "2100"),
        (
            {"schedule": {"maintenance_windows": [{"cron": "0 2 * *", "duration": "2h"}]}},
            "schedule.maintenance_windows[0].cron",
            "minute hour",
        ),
        (
            {"schedule": {"maintenance_windows": [{"cron": "0 2 * * *", "duration": "8d"}]}},
            "schedule.maintenance_windows[0].duration",
            "at most 7d",
        ),
        (
            {"schedule": {"download_outside_window": False}},
            "schedule.download_outside_window",
            "no window",
        ),
        ({"approval": {"approvers": 0}}, "approval.approvers", "outside"),
        ({"approval": {"approver": 2}}, "approval.approver", "approvers"),
        ({"rate": {"exponential": {}}}, "rate.exponential.base_per_minute", "missing"),
        (
            {"rate": {"maximum_per_minute": 5, "exponential": {"base_per_minute": 6}}},
            "rate.exponential.base_per_minute",
            "maximum_per_minute is 5",
        ),
        ({"rate": {"max_bytes_per_second": 0}}, "rate.max_bytes_per_second", "outside"),
        ({"retry": {"attempts": 11}}, "retry.attempts", "outside"),
        ({"timeouts": {"at_end": "cancel"}}, "timeouts.at_end", "without `end`"),
        ({"timeouts": {"end": "7d", "at_end": "explode"}}, "timeouts.at_end", "stop, cancel"),
        ({"target_selection": "sometimes"}, "target_selection", "continuous"),
        ({"priority": 5000}, "priority", "outside"),
        (
            {"group": None, "selector": "a=b", "target_selection": "continuous"},
            "target_selection",
            "limosa group create",
        ),
        ({"timeouts": {"offer": "0s"}}, "timeouts.offer", "at least"),
        ({"success": {"percent": "95"}}, "success.percent", "number"),
        ({"trial": {"infernces": 3}}, "trial.infernces", "inferences"),
    ],
)
def test_a_mistake_is_refused_with_its_place(change: dict[str, Any], place: str, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        RolloutSpec.parse({"release": "demo/motion@2.0.0", "group": "all", **change})
    error = caught.value
    assert error.where == f"rollout.{place}" or place in error.where
    assert says in f"{error} {error.hint}"


@given(st.floats(0, 366 * 86400.0).map(lambda seconds: round(seconds, 3)))
def test_a_length_of_time_is_written_exactly(seconds: float) -> None:
    assert parse_duration(format_duration(seconds), where="x") == seconds


def test_a_length_of_time_beyond_a_year_is_refused() -> None:
    with pytest.raises(InvalidField, match="too long"):
        parse_duration("9999d", where="bake")
