"""Sums of feedback and sketches of shadows: exact over the wire, additive, hostile ones refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidField
from limosa_contracts.feedback import KPIS_MAX, Feedback, Kpi
from limosa_contracts.fields import Fields
from limosa_contracts.shadow import PAIRS_MAX, ShadowSketch
from limosa_contracts.window import Window

GOLDEN = Path(__file__).parent / "golden"
COUNTS = st.integers(0, 2**40)
WHOLE = st.integers(-(10**6), 10**6).map(float)


def bins(of: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(of, min_size=10, max_size=10).map(tuple)


@st.composite
def feedbacks(draw: st.DrawFn) -> Feedback:
    kpi = st.builds(Kpi, n=COUNTS, total=WHOLE, squares=WHOLE.map(abs))
    names = st.sampled_from([f"kpi-{i}" for i in range(KPIS_MAX)])
    correct, wrong = draw(bins(COUNTS)), draw(bins(COUNTS))
    return Feedback(
        kpis=draw(st.dictionaries(names, kpi, max_size=4)),
        labelled=tuple(a + b for a, b in zip(correct, wrong, strict=True)),
        correct=correct,
    )


@st.composite
def sketches(draw: st.DrawFn) -> ShadowSketch:
    agreed, disagreed = draw(bins(COUNTS)), draw(bins(COUNTS))
    classes = st.integers(0, 9)
    return ShadowSketch(
        compared=tuple(a + b for a, b in zip(agreed, disagreed, strict=True)),
        disagreed=disagreed,
        pairs=draw(st.dictionaries(st.tuples(classes, classes), st.integers(1, 10**6), max_size=8)),
    )


def test_window_with_feedback_and_a_sketch_reads_back_as_it_was_written() -> None:
    data = (GOLDEN / "window-1-feedback.json").read_bytes()
    window = Window.parse(data)
    assert window.feedback is not None
    assert window.feedback.kpis["clicked"] == Kpi(n=12, total=5.0, squares=5.0)
    assert (sum(window.feedback.labelled), sum(window.feedback.correct)) == (20, 18)
    assert window.shadow is not None
    assert dict(window.shadow.pairs) == {(0, 1): 1, (2, 0): 1}
    assert window.encode() == data


def test_window_of_an_older_agent_says_nothing_of_them() -> None:
    window = Window.parse((GOLDEN / "window-1.json").read_bytes())
    assert (window.feedback, window.shadow) == (None, None)
    assert b"feedback" not in window.encode()
    assert b"shadow" not in window.encode()


@given(feedbacks(), feedbacks())
def test_feedback_adds_up_and_comes_apart(a: Feedback, b: Feedback) -> None:
    assert Feedback.parse(Fields(json.loads(json.dumps(a.as_json())), where="f")) == a
    both = a.plus(b)
    assert both == b.plus(a)
    fresh = both.minus(a)
    assert (fresh.labelled, fresh.correct) == (b.labelled, b.correct)
    for name, kpi in b.kpis.items():
        assert fresh.kpis[name].n == kpi.n
        assert fresh.kpis[name].total == kpi.total


@given(sketches(), sketches())
def test_shadow_sketches_add_up_and_come_apart(a: ShadowSketch, b: ShadowSketch) -> None:
    assert ShadowSketch.parse(Fields(json.loads(json.dumps(a.as_json())), where="s")) == a
    assert a.plus(b) == b.plus(a)
    assert a.plus(b).minus(a) == b


def test_more_pairs_than_are_told_leave_those_with_the_most_rows() -> None:
    many = ShadowSketch(pairs={(i, i + 1): i + 1 for i in range(PAIRS_MAX)})
    both = many.plus(ShadowSketch(pairs={(900, 901): 1000}))
    assert len(both.pairs) == PAIRS_MAX
    assert (900, 901) in both.pairs
    assert (0, 1) not in both.pairs


@pytest.mark.parametrize(
    "wrong",
    [
        {"kpis": {f"k{i}": Kpi(n=1).as_json() for i in range(KPIS_MAX + 1)}},
        {"kpis": {"accuracy": Kpi(n=1).as_json()}},
        {"kpis": {"Not a name": Kpi(n=1).as_json()}},
        {"kpis": {"k": {"n": -1, "sum": 0, "squares": 0}}},
        {"kpis": {"k": {"n": 1, "sum": 0, "squares": -1}}},
        {"kpis": {"k": {"n": 1, "sum": 1e300, "squares": 0}}},
        {"labelled": [1] * 9, "correct": [1] * 9},
        {"labelled": [1] * 10, "correct": [2] * 10},
        {"more": 1},
    ],
)
def test_feedback_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidField):
        Feedback.parse(Fields(wrong, where="feedback"))


@pytest.mark.parametrize(
    "change",
    [
        {"compared": [1] * 9},
        {"disagreed": [99] * 10},
        {"pairs": [[0, 1]]},
        {"pairs": [[0, 5000, 1]]},
        {"pairs": [[0, 1, 1], [0, 1, 2]]},
        {"pairs": [[i, i, 1] for i in range(PAIRS_MAX + 1)]},
    ],
)
def test_sketch_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    said = {**replace(ShadowSketch(), compared=(1,) * 10).as_json(), **change}
    with pytest.raises(InvalidField):
        ShadowSketch.parse(Fields(said, where="shadow"))
