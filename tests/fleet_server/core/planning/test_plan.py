"""A plan's numbers, worked by hand; its text and its document are the same plan."""

from __future__ import annotations

import json
from dataclasses import replace
from html import unescape

import pytest
from scipy import stats

from limosa_contracts.oci import Requirements
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.judging.cohorts import ARM_MIN
from limosa_server.core.planning.candidates import Candidate, Exclusion, LeftOut, ReleaseFacts, VariantFacts
from limosa_server.core.planning.document import as_html, as_markdown
from limosa_server.core.planning.plan import Plan, make_plan
from limosa_server.core.planning.power import fisher, least_failures, power_of
from limosa_server.core.planning.text import plan_text

RELEASE = ReleaseFacts(
    index_sha256="ab" * 32,
    release_counter=2,
    variants=[VariantFacts(name="int8", requires=Requirements(disk_bytes=100), size_bytes=2_000_000)],
    min_agent="0.2.0",
    may_return_to=("1.0.0",),
)


def spec_of(**fields: object) -> RolloutSpec:
    return RolloutSpec.parse({"release": "demo/motion@2.0.0", "group": "all", **fields})  # type: ignore[dict-item]  # tests write plain literals


def fleet(count: int, **changed: object) -> list[Candidate]:
    one = Candidate(
        device="", agent="0.2.0", running_version="1.0.0", running_counter=1, traits={"profile": "rpi4"}
    )
    return [replace(one, device=f"d{i:03}", **changed) for i in range(count)]  # type: ignore[arg-type]  # tests write plain literals


def planned(candidates: list[Candidate], **fields: object) -> Plan:
    return make_plan(spec_of(**fields), RELEASE, candidates, salt="salt")


def test_who_is_left_out_is_told_by_reason_with_numbers() -> None:
    candidates = fleet(8)
    candidates[0] = replace(candidates[0], agent="0.1.9")
    candidates[1] = replace(candidates[1], resources={"disk_free_bytes": 5})
    candidates[2] = replace(candidates[2], running_version="3.0.0", running_counter=3)
    pinned = Exclusion(kind=LeftOut.PINNED, why="demo unit (by eva)")
    candidates[3] = replace(candidates[3], barred=pinned)
    plan = planned(candidates)
    assert {device: one.kind for device, one in plan.excluded.items()} == {
        "d000": LeftOut.AGENT_TOO_OLD,
        "d001": LeftOut.DISK,
        "d002": LeftOut.DOWNGRADE,
        "d003": LeftOut.PINNED,
    }
    text = plan_text(plan.as_json())
    assert "left out    4\n" in text
    assert "1 × agent too old: the release needs agent 0.2.0, it has 0.1.9 (d000)" in text
    assert "1 × pinned: demo unit (by eva) (d003)" in text


ASKED = {
    "approval": {"approvers": 2, "remark": True},
    "schedule": {
        "start": "2026-12-01T02:00:00Z",
        "maintenance_windows": [{"cron": "0 2 * * sat", "duration": "2h"}],
        "download_outside_window": False,
    },
    "retry": {"attempts": 3, "backoff": "10m"},
    "on_failure": {"rollback": "wave", "to": "1.0.0"},
    "waves": [{"name": "canary", "count": 1, "then": "pause"}, {"name": "rest"}],
}


def test_who_is_handed_a_plan_reads_who_must_agree_when_it_starts_and_when_devices_switch() -> None:
    plan = planned(fleet(5), **ASKED).as_json()
    said = (
        "2 people of the role approver must agree (whoever made it is not one of them), and each says why; "
        "one who denies ends it",
        "2026-12-01 02:00 UTC, or when it is approved if that is later",
        "devices switch only in their maintenance windows, and download inside of them only",
        "0 2 * * sat, for 2h, in each device's own time zone",
        "offered it up to 3 more times if something about the device has changed, after 10m, then after "
        "twice as long each time",
        "each device of the failed wave that was offered the release is told to run 1.0.0",
        "the wait for approval, for devices that are away, for their maintenance windows and for a person "
        "after canary",
    )
    text = " ".join(plan_text(plan).split())
    document = as_markdown(plan, at=0.0).replace("\\*", "*")
    page = unescape(as_html(plan, at=0.0))
    for words in said:
        assert words in text
        assert words in document
        assert words in page
    assert "then a person resumes it" in document


def test_a_plan_of_which_nobody_asked_more_says_so_where_it_is_handed_over() -> None:
    plan = planned(fleet(5)).as_json()
    assert "approval" not in plan_text(plan)
    document = as_markdown(plan, at=0.0)
    assert "| approval | nobody needs to approve it |" in document
    assert "| start | at once |" in document
    assert "| windows | devices switch at any time |" in document
    assert "A device on which it failed is not offered it again." in document


def test_five_devices_are_told_that_no_comparison_is_made_of_them() -> None:
    """rollouts 5.0."""
    plan = planned(fleet(5))
    assert plan.power.judge == "criteria"
    assert "5 devices are too few for a comparison of two arms (20 in each)" in plan.power.sentence
    assert "1 device in the first wave, 1 failure stops it" in plan.power.sentence


def test_one_canary_is_too_few_in_the_singular() -> None:
    plan = planned(fleet(60), waves=[{"name": "canary", "count": 1}, {"name": "rest"}])
    assert "1 device is too few for a comparison of two arms (20 in each)" in plan.power.sentence


@pytest.mark.parametrize(
    ("devices", "waves"),
    [
        (1, {"rest": 1}),
        (2, {"canary": 1, "rest": 1}),
        (3, {"canary": 1, "half": 1, "rest": 1}),
        (5, {"canary": 1, "half": 2, "rest": 2}),
    ],
)
def test_waves_that_nobody_wrote_down_fit_a_fleet_of_the_first_day(
    devices: int, waves: dict[str, int]
) -> None:
    plan = planned(fleet(devices))
    assert plan.problems == ()
    assert {wave.name: len(wave.devices) for wave in plan.waves} == waves
    # what is stored, and what `start --plan` is given, has the waves that the plan showed
    again = make_plan(RolloutSpec.parse(plan.spec.as_json()), RELEASE, fleet(devices), salt="salt")
    assert again.fingerprint == plan.fingerprint


def test_a_wave_that_somebody_wrote_down_and_that_is_empty_is_a_problem() -> None:
    plan = planned(
        fleet(2), waves=[{"name": "one", "count": 1}, {"name": "half", "percent": 50}, {"name": "rest"}]
    )
    assert plan.problems == ("wave rest has no device",)


def test_a_target_without_a_device_is_told_with_where_to_look() -> None:
    assert planned([]).problems == ("no device is in the group all: limosa group show all",)
    spec = RolloutSpec.parse({"release": "demo/motion@2.0.0", "selector": "role=cannary"})
    assert make_plan(spec, RELEASE, [], salt="salt").problems == (
        "no device of the fleet has such labels: selector role=cannary",
    )


def test_200_devices_are_told_what_20_canaries_see_against_their_controls() -> None:
    plan = planned(fleet(200, labels={"site": "hq"}))
    assert plan.power.judge == "compare"
    assert plan.power.canaries == ARM_MIN
    assert plan.power.sentence.startswith("20 canaries against ")
    assert "cannot see 5% → 10%" in plan.power.sentence
    assert plan.power.finds_rate is not None
    assert 0.05 < plan.power.finds_rate < 0.4


@pytest.mark.parametrize(
    "n, group, least", [(1, 5, 1), (10, 10, 1), (20, 1000, 2), (100, 1000, 6), (1000, 1000, 51)]
)
def test_the_least_failures_that_stop_a_wave(n: int, group: int, least: int) -> None:
    assert least_failures(spec_of(), n, group) == least


def test_more_canaries_see_smaller_rises() -> None:
    seen = [power_of(spec_of(), canaries=n, controls=4 * n, group=10 * n).finds_rate for n in (20, 80, 320)]
    assert all(one is not None for one in seen)
    assert seen == sorted(seen, reverse=True)  # type: ignore[type-var]  # none of them is None


def test_fisher_against_scipy() -> None:
    for a, n, c, m in ((3, 3, 0, 3), (4, 20, 0, 80), (0, 5, 3, 9), (14, 15, 0, 85), (30, 400, 5, 600)):
        exact = stats.fisher_exact([[a, n - a], [c, m - c]], alternative="greater")[1]
        assert fisher(a, n, c, m) == pytest.approx(exact, rel=1e-9)


def test_the_time_is_that_of_the_rate_the_devices_and_the_bake() -> None:
    candidates = fleet(4, gap_s=600.0)
    waves = [{"name": "one", "count": 1, "bake": "1h"}, {"name": "rest", "bake": "2h"}]
    plan = planned(candidates, waves=waves, rate={"maximum_per_minute": 1}, control={"percent": 0})
    first, rest = (wave.stage for wave in plan.waves)
    # 120 s of trial, 10 min until nine of ten have shown up; three devices at one a minute take two more
    assert (first.offering_s, first.coming_s, first.working_s, first.bake_s) == (0.0, 600.0, 120.0, 3600.0)
    assert (rest.offering_s, rest.expected_s) == (120.0, 120.0 + 600.0 + 120.0 + 7200.0)
    known = make_plan(spec_of(waves=waves), replace(RELEASE, usual_s=30.0), candidates, salt="salt")
    assert known.waves[0].stage.working_s == 30.0
    assert "how often 4 of 4 devices checked in" in known.basis


def test_the_longest_time_is_with_every_clock_run_down() -> None:
    plain = {"waves": [{"name": "all", "bake": "3h"}], "timeouts": {"offer": "2h", "in_progress": "1h"}}
    few = planned(fleet(4), **plain)
    assert few.longest_s == 6 * 3600, "two hours to begin, one to end, three to bake"
    tried_again = planned(fleet(4), **plain, retry={"attempts": 2, "backoff": "10m"})
    assert tried_again.longest_s == (3 + 2 * (1 + 3) + 3) * 3600, "an hour's wait before each attempt"
    compared = planned(fleet(100), **plain)
    assert compared.cohorts.waves[0].compares
    assert compared.longest_s == (3 + 2 * 3) * 3600, "a comparison that cannot tell bakes as long again"
    decided = planned(fleet(100), **plain, on_inconclusive="pause")
    assert decided.longest_s == (3 + 3) * 3600
    shadow = planned(fleet(4), **plain, mode="shadow", shadow={"wait": "5h"})
    assert shadow.longest_s == (3 + 3 + 5) * 3600


def test_bytes_follow_the_deltas_that_are_known() -> None:
    candidates = [*fleet(3), replace(fleet(1)[0], device="has-it", running_version="2.0.0")]
    plan = make_plan(
        spec_of(),
        RELEASE,
        candidates,
        salt="salt",
        bytes_of=lambda one, variant: 100_000 if one.device == "d000" else variant.size_bytes,
    )
    assert (plan.bytes_to_move, plan.bytes_whole) == (4_100_000, 6_000_000)
    assert "4.1 MB (6 MB without deltas)" in plan_text(plan.as_json())


def test_the_way_back_is_told_for_each_version_that_runs() -> None:
    candidates = [*fleet(3), replace(fleet(1)[0], device="old", running_version="0.9.0")]
    plan = planned(candidates, on_failure={"rollback": "all"})
    assert [(path.version, path.devices, path.allowed) for path in plan.returns] == [
        ("1.0.0", 3, True),
        ("0.9.0", 1, False),
    ]
    assert any("cannot return to 0.9.0" in one for one in plan.warnings)


def test_the_same_facts_give_the_same_plan_and_any_other_a_new_fingerprint() -> None:
    candidates = fleet(30)
    plan = planned(candidates)
    assert planned(candidates) == plan
    others = [
        planned(candidates[:-1]),
        planned(candidates, waves=[{"name": "all"}]),
        make_plan(spec_of(), RELEASE, candidates, salt="other"),
        make_plan(spec_of(), RELEASE, candidates, salt="salt", despite=[7]),
        make_plan(spec_of(), replace(RELEASE, index_sha256="cd" * 32), candidates, salt="salt"),
    ]
    assert len({plan.fingerprint, *(one.fingerprint for one in others)}) == 6


@pytest.mark.parametrize("width", [20, 80, 100, 120, 400])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    plan = planned(fleet(90, labels={"site": "hq"}))
    text = plan_text(json.loads(json.dumps(plan.as_json())), width=width)
    assert max(len(line) for line in text.splitlines()) <= max(80, min(width, 120))
    assert "WAVE" in text


def test_the_document_says_when_what_stops_it_and_how_it_is_undone() -> None:
    plan = planned(fleet(30), on_failure={"rollback": "all"}).as_json()
    text = as_markdown(plan, at=0.0)
    for title in ("# Rollout of demo/motion@2.0.0 to all", "## Timeline", "## Risks", "## How it is undone"):
        assert title in text
    assert "every device that was offered the release is told to run what it ran before" in text
    page = as_html(plan, at=0.0)
    assert "<h2>How it is undone</h2>" in page
    assert "<script" not in page


def test_what_a_device_reports_of_itself_does_not_become_markup() -> None:
    candidates = fleet(3)
    evil = Exclusion(kind=LeftOut.PINNED, why="<script>alert(1)</script> | **x**")
    candidates[0] = replace(candidates[0], barred=evil)
    plan = planned(candidates).as_json()
    assert "<script>" not in as_html(plan, at=0.0)
    assert "<script>" not in as_markdown(plan, at=0.0)
    assert "\\| \\*\\*x" in as_markdown(plan, at=0.0)
