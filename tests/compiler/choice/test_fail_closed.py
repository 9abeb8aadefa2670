"""A target without a candidate: the build ends, and what came closest is said first (compiler 2.7)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limosa_compiler.choice.choose import choose
from limosa_compiler.choice.fail_closed import require_chosen
from limosa_compiler.errors import GateNotMet
from limosa_compiler.measuring.measure import Measured, Pruned
from limosa_compiler.recipe import Gate
from tests.compiler.choice.test_choose import ACCURACY, CORAL, FP32, measured

GATE = Gate()


def refused(*items: Measured, pruned: tuple[Pruned, ...] = ()) -> GateNotMet:
    """The error of a build for a board that takes int8 on LiteRT only."""
    found = [replace(item, runtime="litert") for item in items]
    choice = choose(found, profile=CORAL, gate=GATE, metric=ACCURACY, pruned=pruned)
    with pytest.raises(GateNotMet) as caught:
        require_chosen([choice], found, pruned, gate=GATE, metric=ACCURACY)
    return caught.value


def test_nearest_miss_comes_first_and_what_the_target_never_takes_last() -> None:
    far = measured("int8-minmax", size=300, bound=-9.0)
    near = measured("int8-p99.9", size=300, bound=-1.5)
    error = refused(FP32, far, near)
    closest = error.evidence["closest"]
    assert isinstance(closest, list)
    assert [item["candidate"] for item in closest if isinstance(item, dict)] == [
        "int8-p99.9",
        "int8-minmax",
        "fp32",
    ]
    assert error.why.startswith("closest first: int8-p99.9: may lose 1.50 points")


def test_what_was_pruned_stands_among_the_attempts() -> None:
    pruned = Pruned(
        name="int8-dynamic",
        precision="int8",
        size=400,
        digest="sha256:" + "1" * 64,
        structure="dynamic",
        reason="fails clearly",
    )
    error = refused(FP32, measured("int8-minmax", size=300, bound=-9.0), pruned=(pruned,))
    assert error.evidence["pruned"] == [{"candidate": "int8-dynamic", "reason": "fails clearly"}]
    assert "int8-dynamic: fails clearly" in error.why


def test_target_that_has_its_choice_lets_the_build_go_on() -> None:
    good = replace(measured("int8-minmax", size=300), runtime="litert")
    choice = choose([good], profile=CORAL, gate=Gate(), metric=ACCURACY)
    require_chosen([choice], [good], (), gate=Gate(), metric=ACCURACY)
    assert choice.chosen == "int8-minmax"
