"""Rollouts that do not simply replace: parsed and refused at creation (rollouts 6)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from limosa_contracts.errors import InvalidField
from limosa_contracts.rollout.modes import Better, Mode
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_contracts.rollout.waves import Then

GOLDEN = Path(__file__).parent / "golden"
AB = {"kpis": [{"name": "clicked"}]}


def spec(**more: Any) -> RolloutSpec:
    return RolloutSpec.parse({"release": "demo/motion@2.0.0", "group": "lab", **more})


def test_file_that_names_no_mode_replaces_and_says_nothing_of_it() -> None:
    plain = spec()
    assert plain.mode is Mode.REPLACE
    assert {"mode", "shadow", "ab"}.isdisjoint(plain.as_json())


def test_shadow_and_comparison_are_read_from_toml_and_written_byte_for_byte() -> None:
    text = """
release = "demo/motion@2.0.0"
group = "lab"
mode = "ab"
[ab]
percent = 25
duration = "3d"
against = "1.0.0"
[[ab.kpis]]
name = "clicked"
worth = 0.01
[[ab.kpis]]
name = "seconds-lost"
better = "lower"
"""
    test = RolloutSpec.parse(tomllib.loads(text))
    assert test.modes.ab is not None
    assert [kpi.better for kpi in test.modes.ab.kpis] == [Better.HIGHER, Better.LOWER]
    golden = (GOLDEN / "rollout_spec-ab-1.json").read_bytes()
    assert test.encode() == golden
    shadow = spec(mode="shadow", shadow={"agreement": 0.99, "min_rows": 500, "wait": "2d"})
    assert shadow.encode() == (GOLDEN / "rollout_spec-shadow-1.json").read_bytes()
    for one in (test, shadow):
        assert RolloutSpec.parse(one.as_json()) == one


def test_both_are_held_until_the_end_and_then_a_person_decides() -> None:
    (only,) = spec(mode="ab", ab={**AB, "duration": "3d"}).waves
    assert (only.takes_rest, only.bake_s, only.then) == (True, 3 * 86400.0, Then.PAUSE)
    waves = [{"name": "few", "percent": 10, "bake": "1h"}, {"name": "all", "bake": "1h"}]
    few, every = spec(mode="ab", ab={**AB, "duration": "3d"}, waves=waves).waves
    assert (few.bake_s, few.then, every.bake_s) == (3600.0, Then.NEXT, 3 * 86400.0)


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"mode": "canary"}, "rollout.mode"),
        ({"shadow": {}}, "rollout.shadow"),
        ({"ab": AB}, "rollout.ab"),
        ({"mode": "ab"}, "rollout.ab"),
        ({"mode": "ab", "ab": {"kpis": []}}, "rollout.ab.kpis"),
        ({"mode": "ab", "ab": {"kpis": [{"name": "a"}, {"name": "a"}]}}, "rollout.ab.kpis"),
        ({"mode": "ab", "ab": {**AB, "duration": "31d"}}, "rollout.ab.duration"),
        ({"mode": "ab", "ab": {**AB, "percent": 100}}, "rollout.ab.percent"),
        ({"mode": "ab", "ab": AB, "target_selection": "continuous"}, "rollout.target_selection"),
        ({"mode": "shadow", "target_selection": "continuous"}, "rollout.target_selection"),
        ({"mode": "shadow", "control": {"percent": 20}}, "rollout.control.percent"),
        ({"mode": "shadow", "shadow": {"agreement": 1.1}}, "rollout.shadow.agreement"),
        ({"mode": "shadow", "shadow": {"agrement": 1}}, "rollout.shadow.agrement"),
        ({"mode": "shadow", "on_failure": {"rollback": "all"}}, "rollout.on_failure"),
        ({"mode": "shadow", "abort": [{"action": "rollback"}]}, "rollout.on_failure"),
    ],
)
def test_mode_that_contradicts_the_file_is_refused_with_its_place(more: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidField) as raised:
        spec(**more)
    assert raised.value.where == place
