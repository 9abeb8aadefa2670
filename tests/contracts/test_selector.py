"""Label selectors: Kubernetes' grammar in, a predicate out, the position of every mistake."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidSelector
from limosa_contracts.selector import Operator, Requirement, Selector

KEYS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,8}[A-Za-z0-9])?", fullmatch=True)
VALUES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True)


@st.composite
def requirements(draw: st.DrawFn) -> Requirement:
    operator = draw(st.sampled_from(Operator))
    values: tuple[str, ...] = ()
    if operator in (Operator.IN, Operator.NOT_IN):
        values = tuple(sorted(draw(st.sets(VALUES, min_size=1, max_size=3))))
    return Requirement(key=draw(KEYS), operator=operator, values=values)


@given(st.lists(requirements(), min_size=1, max_size=5))
def test_what_is_written_is_read_back(given_ones: list[Requirement]) -> None:
    selector = Selector(tuple(given_ones))
    assert Selector.parse(str(selector)) == selector
    assert Selector.parse(f"  {selector}  ".replace(",", " , ")) == selector


@pytest.mark.parametrize(
    "text, labels, holds",
    [
        ("site in (lab,hq),tier!=dev,gpu,!old", {"site": "hq", "gpu": ""}, True),
        ("site in (lab,hq),tier!=dev,gpu,!old", {"site": "hq", "gpu": "", "old": "1"}, False),
        ("site in (lab,hq),tier!=dev,gpu,!old", {"site": "hq", "gpu": "", "tier": "dev"}, False),
        ("site=hq", {}, False),
        ("site!=hq", {}, True),  # as in Kubernetes: a missing label is not equal
        ("site notin (hq)", {}, True),
        ("site == hq", {"site": "hq"}, True),
        ("in in (in)", {"in": "in"}, True),
    ],
)
def test_what_it_selects(text: str, labels: dict[str, str], holds: bool) -> None:
    assert Selector.parse(text).matches(labels) is holds


@pytest.mark.parametrize(
    "text, place",
    [
        ("", "character 1"),
        ("   ", "character 1"),
        ("a in (b", "character 8"),
        ("a,,b", "character 3"),
        ("a=<script>", "character 3"),
        ("a in b", "character 6"),
        ("a b", "character 3"),
        ("a in ()", "character 7"),
        ("a==", "character 4"),
        ("-a", "character 1"),
        ("a=b,", "character 5"),
        ("x" * 3000, "selector"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, place: str) -> None:
    with pytest.raises(InvalidSelector) as caught:
        Selector.parse(text)
    assert place in caught.value.where


@given(st.text(max_size=40))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        selector = Selector.parse(text)
    except InvalidSelector:
        return
    assert Selector.parse(str(selector)) == selector


@pytest.mark.parametrize(
    "text",
    [
        "(" * 2000,
        "a in " + "(" * 1000 + "b",
        "!" * 2048,
        "a," * 1023 + "a",  # one condition of SQL each
        "a in (" + "b," * 1000 + ")",
        "site=hq\x00",
        "ѕite=hq",  # the first letter is Cyrillic
        "site=ｈｑ",
        "site=hq\u202e",
        "site=\ud800",
        "site='; DROP TABLE devices; --",
        "site=hq OR 1=1",
        "site=%",
        "a" * 65 + "=b",
        "a=" + "b" * 65,
        "=",
        "in (a)",
    ],
)
def test_a_hostile_selector_is_refused_at_once(text: str) -> None:
    with pytest.raises(InvalidSelector):
        Selector.parse(text)


def test_what_is_read_is_ascii_whatever_the_alphabet_it_was_written_in() -> None:
    """A label that only looks like another one must not select for it."""
    for mark in ("\u00a0", "\u2003", "\ufeff"):
        try:
            assert str(Selector.parse(f"site{mark}=hq")) == "site=hq"
        except InvalidSelector:
            continue
