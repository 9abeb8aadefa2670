"""A challenger passes when the devices say that it agrees, and never on too little (rollouts 5.4, 6)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.rollout.modes import Shadow
from limosa_server.core.judging.judge import Verdict
from limosa_server.core.modes.agreement import Moments, Seen, agreed, judge_agreement

ROWS = st.integers(0, 10**6)


def seen(*pairs: tuple[int, int]) -> Moments:
    return Moments.of(
        Seen(device=f"d{i}", compared=rows, disagreed=other) for i, (rows, other) in enumerate(pairs)
    )


def verdict(shadow: Shadow, *pairs: tuple[int, int]) -> Verdict:
    return judge_agreement(shadow, seen(*pairs), wave=0, name="canary")[0]


def test_challenger_that_answers_alike_passes() -> None:
    assert verdict(Shadow(), *[(500, 5)] * 6) is Verdict.PASSED


def test_challenger_that_disagrees_fails() -> None:
    assert verdict(Shadow(), *[(500, 60)] * 6) is Verdict.FAILED


@pytest.mark.parametrize("pairs", [[], [(0, 0)], [(999, 0)]])
def test_too_few_rows_never_pass(pairs: list[tuple[int, int]]) -> None:
    given_, decision = judge_agreement(Shadow(), seen(*pairs), wave=1, name="canary")
    assert given_ is Verdict.INCONCLUSIVE
    assert "rows more are needed" in decision.sentence


def test_one_device_that_disagrees_throughout_is_not_drowned_by_rows() -> None:
    """2 % of the rows, and a fifth of the devices: it may be every device of its kind."""
    found = agreed(seen(*[(1000, 0)] * 4, (100, 90)), confidence=0.95)
    assert found.share > 0.95
    assert found.lower < 0.95
    assert verdict(Shadow(), *[(1000, 0)] * 4, (100, 90)) is Verdict.INCONCLUSIVE


def test_decision_says_what_was_counted() -> None:
    _, decision = judge_agreement(Shadow(), seen((800, 8), (700, 7)), wave=0, name="canary")
    assert decision.sentence.startswith("wave canary: 99.00% of 1,500 rows on 2 devices answered alike; ")
    assert decision.numbers["rows"] == 1500
    assert len(decision.inputs_sha256) == 64


@given(st.lists(st.tuples(ROWS, ROWS), max_size=12))
def test_bounds_hold_the_share(pairs: list[tuple[int, int]]) -> None:
    found = agreed(seen(*((max(a, b), min(a, b)) for a, b in pairs)), confidence=0.95)
    assert 0 <= found.lower <= found.upper <= 1
    if found.rows:
        assert found.lower - 1e-9 <= found.share <= found.upper + 1e-9


def test_bad_challenger_on_devices_that_differ_is_rarely_passed() -> None:
    """Pooling its rows would pass it in a third of them."""
    draw = random.Random(7)
    passed = pooled = 0
    for _ in range(400):
        pairs = []
        for _device in range(12):
            rate = draw.betavariate(0.6, 0.6 * 15)  # 6.25 % on the average, and devices that differ much
            pairs.append((400, sum(draw.random() < rate for _ in range(400))))
        passed += verdict(Shadow(agreement=0.9375), *pairs) is Verdict.PASSED
        share = 1 - sum(other for _, other in pairs) / 4800
        pooled += share - 1.645 * (share * (1 - share) / 4800) ** 0.5 >= 0.9375
    assert passed / 400 < 0.12
    assert pooled > 2 * passed
