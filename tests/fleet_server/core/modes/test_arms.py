"""Arms are drawn, even within strata, and drawn anew by each rollout (rollouts 5.1)."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from limosa_server.core.modes.arms import CHALLENGER, CHAMPION, draw, stratum_of

STRATA = st.dictionaries(st.text("abcdef0123", min_size=1, max_size=6), st.sampled_from("xyz"), max_size=60)


@given(STRATA, st.integers(1, 99), st.text(max_size=8))
def test_every_device_has_an_arm_and_each_stratum_its_share(
    strata: dict[str, str], percent: int, salt: str
) -> None:
    arms = draw(strata, percent=percent, salt=salt)
    assert arms.keys() == strata.keys()
    assert arms == draw(dict(reversed(list(strata.items()))), percent=percent, salt=salt)
    challengers = sum(arm == CHALLENGER for arm in arms.values())
    if len(arms) > 1:
        assert 0 < challengers < len(arms)
        assert abs(challengers - len(arms) * percent / 100) <= 1
    for stratum in set(strata.values()):
        inside = [arms[device] for device in strata if strata[device] == stratum]
        assert abs(inside.count(CHALLENGER) - len(inside) * percent / 100) <= 2


def test_the_same_site_is_not_always_the_one_that_is_tried_on() -> None:
    strata = {f"d{i}": "s" for i in range(10)}
    first = Counter(draw(strata, percent=50, salt=str(salt))["d0"] for salt in range(400))
    assert 150 < first[CHALLENGER] < 250
    alone = Counter(draw({"x": "1", "y": "2"}, percent=50, salt=str(salt))["x"] for salt in range(400))
    assert 150 < alone[CHAMPION] < 250


def test_stratum_names_what_a_device_is() -> None:
    assert stratum_of(("profile", "site"), {"profile": "rpi4"}) == "profile=rpi4,site="
