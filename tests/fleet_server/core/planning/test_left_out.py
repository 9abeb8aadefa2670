"""Who is in a plan and who is not, and in which order they come (rollouts 3.9, 4, 5.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limosa_contracts.oci import Requirements
from limosa_contracts.rollout.rate import Rate
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_contracts.rollout.waves import WaveSpec
from limosa_server.core.planning.candidates import Candidate, Exclusion, LeftOut, ReleaseFacts, VariantFacts
from limosa_server.core.planning.cohorts_plan import cohorts_of
from limosa_server.core.planning.known_bad import Finding, ruled_out
from limosa_server.core.planning.plan import make_plan
from limosa_server.core.planning.waves_plan import divide, wave_order

RELEASE = ReleaseFacts(
    index_sha256="ab" * 32,
    release_counter=7,
    variants=[VariantFacts(name="int8", requires=Requirements(), size_bytes=1000)],
)
ONE = Candidate(device="d0", running_version="1.0.0", running_counter=1)
FOUND = Finding(
    rollout=4,
    version="2.0.0",
    terms=(("profile", "rpi4"), ("previous", "1.2.0")),
    profiles=("rpi4",),
    failed=14,
    executed=15,
    sentence="all 14 failures: profile rpi4, previous 1.2.0",
    bad=True,
)


def spec_of(**fields: object) -> RolloutSpec:
    return RolloutSpec.parse({"release": "demo/motion@2.0.0", "group": "all", **fields})  # type: ignore[dict-item]  # tests write plain literals


def left_out(one: Candidate, **fields: object) -> LeftOut | None:
    planned = make_plan(spec_of(**fields), RELEASE, [one], salt="salt")
    found = planned.excluded.get(one.device)
    return None if found is None else found.kind


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("may_return", [False, True])
def test_a_downgrade_takes_the_operators_word_and_the_teams(allowed: bool, may_return: bool) -> None:
    """One of the two is not enough (trust 2.4): the device would refuse what its own release does not
    name, and an operator who did not ask for it is not given it."""
    newer = replace(ONE, running_version="3.0.0", running_counter=8, may_return=may_return)
    taken = allowed and may_return
    assert left_out(newer, allow_downgrade=allowed) is (None if taken else LeftOut.DOWNGRADE)


def test_a_device_that_has_the_release_already_is_in_the_plan_and_fetches_nothing() -> None:
    """Its counter is the release's own, which is no downgrade: it is through at once, and is counted."""
    has_it = replace(ONE, running_version="2.0.0", running_counter=7)
    assert left_out(has_it) is None
    assert make_plan(spec_of(), RELEASE, [has_it], salt="salt").sizes == {"d0": 0}


def test_a_finding_rules_out_its_own_class_and_the_devices_on_which_it_failed() -> None:
    """3.9: a class is all of its traits at once, for half of them is half the fleet."""

    def out(device: str, profile: str, previous: str, *, despite: tuple[int, ...] = ()) -> Exclusion | None:
        traits = {"profile": profile, "previous": previous}
        found = [replace(FOUND, devices=frozenset({"died"}))]
        return ruled_out(found, device, traits, despite=despite)

    assert out("d1", "rpi4", "1.2.0") is not None
    assert out("d1", "rpi4", "1.3.0") is None
    assert out("d1", "rpi5", "1.2.0") is None
    assert out("died", "rpi5", "1.3.0") is not None, "it failed here, whatever the others have in common"
    assert out("died", "rpi5", "1.3.0", despite=(4,)) is None
    assert (
        ruled_out([replace(FOUND, bad=False)], "d1", {"profile": "rpi4", "previous": "1.2.0"}, despite=())
        is None
    )
    everywhere = replace(FOUND, terms=())
    assert ruled_out([everywhere], "d1", {"profile": "rpi4"}, despite=()) is not None
    assert ruled_out([everywhere], "d1", {"profile": "rpi5"}, despite=()) is None


def test_those_that_can_be_reached_come_first() -> None:
    """Else the canary is drawn among devices that are switched off, and nobody sings (rollouts 5.1)."""
    devices = {f"d{i}": i % 3 == 0 for i in range(30)}
    order = wave_order(devices, salt="salt")
    assert [devices[name] for name in order] == [True] * 10 + [False] * 20


def test_a_canary_by_percent_has_twenty_devices_or_a_fifth_of_the_group() -> None:
    """`min_devices` 20 for a canary, capped by the group's size (rollouts 4, 5.0); later waves have none."""
    waves = [WaveSpec(name="a", percent=1), WaveSpec(name="b", percent=3), WaveSpec(name="c")]

    def sizes(devices: int) -> list[int]:
        return [len(wave) for wave in divide([str(i) for i in range(devices)], {}, waves)]

    assert sizes(1000) == [20, 10, 970]
    assert sizes(50) == [10, 1, 39]
    assert sizes(3) == [1, 1, 1]


def test_devices_are_compared_with_those_that_ran_the_same_version_before() -> None:
    """5.1: strata are profile, previous version and labels."""
    taking = {
        f"d{i:03}": Candidate(
            device=f"d{i:03}",
            running_version="1.0.0" if i % 2 else "1.1.0",
            traits={"profile": "pi4"},
            labels={"site": "hq"},
        )
        for i in range(100)
    }
    names = sorted(taking)
    spec = spec_of(waves=[{"name": "canary", "count": 20}, {"name": "rest"}])
    canary = cohorts_of(spec, taking, [names[:20], names[20:]]).waves[0]
    assert canary.compares
    for arm in (canary.treated, canary.control):
        assert {name: taking[device].running_version for device, name in arm.items()} == {
            "pi4/1.0.0/hq": "1.0.0",
            "pi4/1.1.0/hq": "1.1.0",
        }


def test_a_rate_that_begins_at_its_maximum_is_a_rate() -> None:
    rate: Rate = spec_of(rate={"maximum_per_minute": 5, "exponential": {"base_per_minute": 5}}).rate
    assert [rate.per_minute(n) for n in (0, 100)] == [5, 5]
