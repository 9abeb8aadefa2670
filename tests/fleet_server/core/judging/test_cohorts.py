"""Who is compared with whom (rollouts 5.1)."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.rollout.control import Control
from limosa_server.core.judging.cohorts import ARM_MAX, ARM_MIN, Cohorts, draw_cohorts
from limosa_server.core.planning.waves_plan import wave_order

DAY_S = 86400.0


def draw(sizes: list[int], *, percent: float = 20.0, sites: int = 4, salt: str = "salt") -> Cohorts:
    order = iter(wave_order({f"d{i:06d}": True for i in range(sum(sizes))}, salt=salt))
    waves = [list(islice(order, size)) for size in sizes]
    traits = {name: ("pi4", "1.0.0", f"site{int(name[1:]) % sites}") for wave in waves for name in wave}
    return draw_cohorts(
        waves, traits, Control(percent=percent), bakes_s=[DAY_S] * len(sizes), report_every_s=300.0
    )


def test_a_hundred_devices_give_twenty_canaries_and_eighty_controls() -> None:
    cohorts = draw([20, 80])
    canary, rest = cohorts.waves
    assert (len(canary.treated), len(canary.control)) == (20, 80)
    assert not rest.compares
    assert "20 are needed" in rest.why_not
    assert cohorts.held_back == ()


def test_six_devices_are_judged_by_counts() -> None:
    assert [wave.why_not for wave in draw([1, 5]).waves] == [
        "1 devices against 5: 20 are needed in each arm",
        "5 devices against 0: 20 are needed in each arm",
    ]


def test_of_the_last_wave_a_fifth_is_held_back_and_is_its_control() -> None:
    cohorts = draw([20, 80, 100])
    last = cohorts.waves[-1]
    assert len(cohorts.held_back) == 20
    assert set(last.control) == set(cohorts.held_back)
    assert len(last.treated) == 80
    treated, control = Counter(last.treated.values()), Counter(last.control.values())
    assert all(abs(control[site] - (treated[site] + control[site]) / 5) <= 1 for site in treated)


def test_another_rollout_draws_other_controls() -> None:
    first, second = (draw([20, 80, 100], salt=salt) for salt in ("a", "b"))
    assert set(first.held_back) != set(second.held_back)
    assert draw([20, 80, 100], salt="a") == first


def test_a_hundred_thousand_devices_hold_back_no_more_than_say_anything() -> None:
    cohorts = draw([1000, 9000, 20000])
    assert len(cohorts.held_back) == ARM_MAX
    assert all(max(len(wave.treated), len(wave.control)) <= ARM_MAX for wave in cohorts.waves)


def test_a_site_whose_devices_are_all_canaries_is_joined_to_a_neighbour() -> None:
    canaries = [f"c{i:03d}" for i in range(25)]
    later = [f"l{i:03d}" for i in range(40)]
    traits = {name: ("pi4", "1.0.0", "near" if i < 20 else "far") for i, name in enumerate(canaries)}
    traits |= dict.fromkeys(later, ("pi4", "1.0.0", "near"))
    cohorts = draw_cohorts([canaries, later], traits, Control(), bakes_s=[DAY_S, DAY_S], report_every_s=60.0)
    canary = cohorts.waves[0]
    assert set(canary.treated) == set(canaries)
    assert set(canary.treated.values()) == set(canary.control.values()) == {"pi4/1.0.0/near"}


def test_a_profile_that_nobody_stays_behind_of_is_compared_over_profiles() -> None:
    canaries = [f"c{i:03d}" for i in range(20)]
    later = [f"l{i:03d}" for i in range(30)]
    traits = dict.fromkeys(canaries, ("jetson", "1.0.0", "x")) | dict.fromkeys(later, ("pi4", "1.0.0", "x"))
    cohorts = draw_cohorts([canaries, later], traits, Control(), bakes_s=[DAY_S, DAY_S], report_every_s=60.0)
    assert set(cohorts.waves[0].treated.values()) == {"*"}
    assert len(cohorts.waves[0].control) == 30


def test_without_controls_counts_decide() -> None:
    cohorts = draw([20, 80, 100], percent=0)
    assert not any(wave.compares for wave in cohorts.waves)
    assert cohorts.held_back == ()


@given(
    st.lists(st.integers(0, 150), min_size=1, max_size=4),
    st.floats(0, 50),
    st.integers(1, 40),
)
def test_arms_never_share_a_device_and_every_stratum_has_both(
    sizes: list[int], percent: float, sites: int
) -> None:
    cohorts = draw(sizes, percent=percent, sites=sites)
    assert len(cohorts.waves) == len(sizes)
    for wave in cohorts.waves:
        if not wave.compares:
            continue
        assert not set(wave.treated) & set(wave.control)
        assert min(len(wave.treated), len(wave.control)) >= ARM_MIN
    if cohorts.held_back:
        assert cohorts.waves[-1].compares
        assert len(set(cohorts.held_back)) == len(cohorts.held_back) <= sizes[-1] - ARM_MIN


def test_nobody_is_held_back_where_nothing_is_compared() -> None:
    """The last wave's bake is too short for a comparison: its controls would wait in the tail for nothing.
    A bake of exactly two reports is long enough."""
    order = wave_order({f"d{i:03}": True for i in range(200)}, salt="salt")
    waves = [order[:20], order[20:100], order[100:]]
    for bake_s, held in ((599.0, 0), (600.0, 20)):
        cohorts = draw_cohorts(waves, {}, Control(), bakes_s=[DAY_S, DAY_S, bake_s], report_every_s=300.0)
        assert len(cohorts.held_back) == held, bake_s
        assert cohorts.waves[-1].compares == bool(held)


def test_a_small_stratum_keeps_a_control_when_there_are_more_than_can_say_anything() -> None:
    """Cut to ARM_MAX by share alone, one site in a thousand had devices and nobody to compare them with."""
    order = [f"d{i:06}" for i in range(21_000)]
    waves = [order[:1000], order[1000:]]
    rare = {*order[:1], *order[1000:1004]}
    traits = {name: ("rare",) if name in rare else ("usual",) for name in order}
    cohort = draw_cohorts(waves, traits, Control(), bakes_s=[DAY_S] * 2, report_every_s=300.0).waves[0]
    assert set(cohort.treated.values()) == set(cohort.control.values()) == {"rare", "usual"}
