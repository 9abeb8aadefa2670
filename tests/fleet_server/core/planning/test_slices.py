"""What failures have in common is told only where chance does not explain it."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from limosa_server.core.planning.known_bad import Finding, findings_warnings, ruled_out
from limosa_server.core.planning.power import fisher
from limosa_server.core.planning.slices import Cell, common, sentence, told


def cell(executed: int, failed: int, **traits: str) -> Cell:
    return Cell(
        traits={name.replace("_", " "): value for name, value in traits.items()},
        executed=executed,
        failed=failed,
    )


def test_all_14_failures_raspberry_pi_4_previous_1_2_0() -> None:
    cells = [
        cell(15, 14, profile="rpi4", previous="1.2.0"),
        cell(20, 0, profile="rpi4", previous="1.3.0"),
        cell(30, 0, profile="rpi5", previous="1.2.0"),
        cell(35, 0, profile="rpi5", previous="1.3.0"),
    ]
    found = common(cells)
    assert found is not None
    assert found.terms == (("profile", "rpi4"), ("previous", "1.2.0"))
    assert told(cells) == "all 14 failures: profile rpi4, previous 1.2.0 (14 of 15 there, 0 of 85 elsewhere)"


def test_one_trait_is_named_where_the_second_adds_nothing() -> None:
    cells = [
        cell(20, 10, profile="rpi4", agent="0.1"),
        cell(20, 9, profile="rpi4", agent="0.2"),
        cell(60, 0, profile="rpi5", agent="0.1"),
        cell(60, 1, profile="rpi5", agent="0.2"),
    ]
    found = common(cells)
    assert found is not None
    assert found.terms == (("profile", "rpi4"),)


def test_two_failures_of_six_devices_are_no_cause() -> None:
    """rollouts 5.0: with so few no test can speak."""
    cells = [cell(3, 2, profile="rpi4"), cell(3, 0, profile="rpi5")]
    assert common(cells) is None
    assert told(cells) == "2 of 6 failed; no part of the fleet stands out by more than chance"


def test_what_fails_everywhere_has_nothing_to_compare_with() -> None:
    assert told([cell(4, 4, profile="rpi4"), cell(5, 5, profile="rpi5")]) == (
        "all 9 devices that tried it failed; there is no other to compare with"
    )
    assert told([cell(9, 0, profile="rpi4")]) == "nothing failed"


def test_a_site_is_named_as_its_label_is_written() -> None:
    cells = [cell(10, 9, label_site="lab"), cell(50, 0, label_site="hq")]
    assert told(cells).startswith("all 9 failures: site=lab (9 of 10")


def test_chance_is_told_as_a_cause_in_fewer_than_one_of_twenty_fleets() -> None:
    """Failures drawn at random over five traits: Bonferroni keeps the promise."""
    draw = random.Random(7)
    wrong = 0
    for _ in range(200):
        cells = []
        for _ in range(60):
            traits = {name: draw.choice("abcd") for name in ("profile", "previous", "agent", "x", "y")}
            cells.append(Cell(traits=traits, executed=1, failed=int(draw.random() < 0.15)))
        wrong += common(cells) is not None
    assert wrong <= 10


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("cd"), st.integers(1, 30), st.floats(0, 1)),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=100, deadline=None)
def test_numbers_of_a_slice_add_up_and_order_does_not_matter(
    drawn: list[tuple[str, str, int, float]],
) -> None:
    cells = [
        cell(executed, round(executed * share), profile=one, previous=two)
        for one, two, executed, share in drawn
    ]
    found = common(cells)
    assert found == common(cells[::-1])
    if found is None:
        return
    inside = [one for one in cells if found.holds(one.traits)]
    assert found.executed == sum(one.executed for one in inside)
    assert found.failed == sum(one.failed for one in inside) > 0
    assert found.executed + found.other_executed == sum(one.executed for one in cells)
    assert found.p < 0.05
    assert fisher(found.failed, found.executed, found.other_failed, found.other_executed) <= found.p
    assert str(found.failed) in sentence(found, failed=found.failed + found.other_failed, executed=1)


def finding(**changed: object) -> Finding:
    about = {
        "rollout": 7,
        "version": "2.0.0",
        "terms": (("profile", "rpi4"), ("previous", "1.2.0")),
        "profiles": ("rpi4",),
        "failed": 14,
        "executed": 100,
        "sentence": "all 14 failures: profile rpi4, previous 1.2.0",
        "bad": True,
        **changed,
    }
    return Finding(**about)  # type: ignore[arg-type]  # tests write plain literals


def test_a_finding_rules_out_its_class_and_where_it_failed_and_nobody_else() -> None:
    """rollouts 3.9."""
    bad = finding(devices=frozenset({"d9"}))
    inside = {"profile": "rpi4", "previous": "1.2.0"}
    outside = {"profile": "rpi4", "previous": "1.3.0"}
    assert str(ruled_out([bad], "d1", inside, despite=())) == (
        "known-bad: rollout 7: all 14 failures: profile rpi4, previous 1.2.0"
    )
    assert ruled_out([bad], "d1", outside, despite=()) is None
    assert ruled_out([bad], "d9", outside, despite=()) is not None
    assert ruled_out([bad], "d1", inside, despite={7}) is None
    assert "is set aside" in findings_warnings([bad], despite={7})[0]


def test_without_a_slice_the_profiles_on_which_it_failed_are_ruled_out() -> None:
    general = finding(terms=(), profiles=("rpi4", ""))
    assert general.where == "no profile or profile rpi4"
    assert ruled_out([general], "d", {"profile": "rpi4"}, despite=()) is not None
    assert ruled_out([general], "d", {"profile": "rpi5"}, despite=()) is None


def test_what_was_seen_in_a_rollout_that_went_well_is_a_warning() -> None:
    assert findings_warnings([finding(bad=False)], despite=()) == [
        "rollout 7 of these bytes had all 14 failures: profile rpi4, previous 1.2.0"
    ]
