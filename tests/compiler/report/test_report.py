"""The report: one file for anybody's browser, whatever the names in it are."""

from __future__ import annotations

import itertools
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_compiler.report import make_report
from limosa_compiler.report.axes import Scale, label_places
from limosa_compiler.report.markup import Markup, joined, tag, text
from limosa_compiler.report.numbers import ticks
from limosa_compiler.report.plots import Point, pareto
from tests.compiler.report.facts import HOSTILE, OLD, evidence
from tests.support.browser import browser

VOID = {"meta", "br", "hr", "col"}


class Page(HTMLParser):
    """Elements, ids and references of a page; its tags must be balanced."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.shown: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "aria-labelledby"):
                self.references.append((value or "").removeprefix("#"))
            assert name not in ("src", "srcset", "style", "action")
            assert not name.startswith("on")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.shown.append(data)


def test_report_says_the_verdict_first_and_shows_every_part() -> None:
    page = Page(make_report(evidence()).decode())
    shown = " ".join(page.shown)
    places = [
        shown.index(word)
        for word in (
            "what ships where",
            "goes to",
            "Warnings",
            "Candidates",
            "Gate and reasons",
            "Metric by slice",
            "Mistakes",
            "What the model relies on",
            "Sensitivity by node",
            "Calibration ranges",
            "Passes",
            "Origin",
        )
    ]
    assert places == sorted(places)
    for item in evidence().candidates:
        assert item.name in shown
    assert len(page.ids) == len(set(page.ids))
    assert set(page.references) <= set(page.ids)


def test_names_of_others_are_never_markup_and_nothing_is_fetched() -> None:
    data = make_report(evidence()).decode()
    page = Page(data)
    assert not {"script", "img", "link", "iframe", "object"} & set(page.tags)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in data
    assert "http" not in data.replace("http-equiv", "")
    assert "\u202e" not in data
    assert "@import" not in data
    assert "url(" not in data


def test_same_evidence_gives_the_same_bytes() -> None:
    assert make_report(evidence()) == make_report(evidence())


def test_old_evidence_has_a_report_without_what_it_did_not_measure() -> None:
    from limosa_compiler.evidence.evidence import Evidence

    page = Page(make_report(Evidence.parse(OLD.read_bytes())).decode())
    shown = " ".join(page.shown)
    assert "goes to" in shown
    assert "Sensitivity" not in shown


@pytest.mark.parametrize("candidates", [1, 2])
def test_one_candidate_or_equal_ones_are_drawn(candidates: int) -> None:
    whole = evidence()
    same = tuple(replace(whole.candidates[0], name=f"c{i}") for i in range(candidates))
    Page(make_report(replace(whole, candidates=same)).decode())


@given(st.text())
def test_any_text_stays_text(said: str) -> None:
    page = Page(tag("p", said, title=said))
    assert page.tags == ["p"]
    assert joined([text(said)]) == text(said)
    assert isinstance(joined([said, None]), Markup)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_lie_inside_and_are_few(low: float, span: float) -> None:
    found = ticks(low, low + span)
    slack = 1e-6 * (abs(low) + span)
    assert all(low - slack <= value <= low + span + slack for value in found)
    assert len(found) <= 12


@given(
    st.lists(
        st.builds(
            Point,
            name=st.text(min_size=1, max_size=40),
            kind=st.sampled_from(["chosen", "passes", "gate", "not"]),
            bytes=st.integers(1, 10**9),
            points=st.floats(-100, 100),
            at_least=st.one_of(st.none(), st.floats(-100, 100)),
        ),
        min_size=1,
        max_size=12,
    ),
    st.one_of(st.none(), st.floats(-100, 0)),
)
def test_any_candidates_can_be_drawn(points: list[Point], gate: float | None) -> None:
    assert "nan" not in pareto(points, gate=gate).replace("nan", "", sum(p.name.count("nan") for p in points))


def test_labels_of_points_that_lie_together_do_not_cover_each_other() -> None:
    at = [(100.0, 100.0), (101.0, 101.0), (102.0, 99.0)]
    places = label_places(at, ["int8-minmax"] * 3, right=600, top=0, bottom=300)
    lines = sorted(place[1] for place in places if place)
    assert len(lines) == 3
    assert all(second - first >= 15 for first, second in itertools.pairwise(lines))
    assert Scale(low=1, high=1, begin=0, end=10)(1) == 5


def test_browser_shows_it_wide_narrow_and_dark_without_a_complaint(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(make_report(evidence()))
    with browser(tmp_path) as tab:
        for width, theme in ((1200, "light"), (400, "dark")):
            tab.window(width=width, theme=theme)
            tab.open(path.as_uri())
            assert tab.run("document.documentElement.scrollWidth") <= width
            assert HOSTILE[:20] in tab.text()
            assert tab.run("document.querySelectorAll('svg[role=img] > title').length") == 3
        assert tab.complaints == []
