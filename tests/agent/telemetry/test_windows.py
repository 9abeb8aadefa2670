"""Snapshots into windows: every count once, whatever restarts (telemetry 3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.telemetry.window_merge import merge_windows
from limosa_agent.telemetry.windows import MAX_ROWS, MIN_ROWS, SHADOW_COUNTERS, WINDOW_S, Snapshot, WindowBook
from limosa_contracts.baseline import BINS
from limosa_contracts.feedback import Feedback, Kpi
from limosa_contracts.window import Window

A, B = "a" * 64, "b" * 64


def snapshot(n: int, *, errors: int = 0) -> Snapshot:
    row = [0] * BINS
    row[3] = n
    return Snapshot.parse(
        {
            "n": n,
            "requests": n + errors,
            "failed_requests": errors,
            "errors": {"LM-565": errors} if errors else {},
            "refused": {},
            "nan_outputs": 0,
            "replayed": 0,
            "latency": [n] + [0] * 31,
            "classes": [n, 0],
            "confidence": [0] * 9 + [n],
            "bins": [row],
            "missing": [0],
            "sums": [float(n)],
            "squares": [float(n)],
            "baseline_id": "c" * 16,
        }
    )


def observe(book: WindowBook, n: int, **changes: Any) -> list[Window]:
    values: dict[str, Any] = {
        "model": "demo/motion", "version": "1.0.0", "manifest_sha256": A, "generation": 1,
        "snapshot": snapshot(n), "clock": "rtc", "mono_s": 10.0, "at": 1e9,
    }  # fmt: skip
    return book.observe(**{**values, **changes})


def book() -> WindowBook:
    return WindowBook(device="dev-1", boot="1-x")


def test_window_is_cumulative_and_carries_a_growing_rev() -> None:
    made = book()
    observe(made, 30)
    (first,) = made.due(in_probation=False)
    assert made.due(in_probation=False) == []
    observe(made, 50)
    (second,) = made.due(in_probation=False)
    assert (first.n, first.rev, second.n, second.rev) == (30, 1, 50, 2)
    assert first.key == second.key
    assert second.sketch.bins[0][3] == 50
    assert Window.parse(second.encode()) == second


def test_a_window_tells_the_most_memory_that_its_worker_held() -> None:
    made = book()
    for n, held in ((30, 90_000_000), (40, 120_000_000), (50, 100_000_000)):
        observe(made, n, snapshot=replace(snapshot(n), memory_bytes=held))
    (window,) = made.due(in_probation=False)
    assert window.memory_bytes == 120_000_000
    assert merge_windows(window, replace(window, memory_bytes=0)).memory_bytes == 120_000_000
    assert b"memory_bytes" not in replace(window, memory_bytes=0).encode()


def test_small_report_is_held_but_not_in_probation() -> None:
    made = book()
    observe(made, MIN_ROWS - 1)
    assert made.due(in_probation=False) == []
    assert [w.n for w in made.due(in_probation=True)] == [MIN_ROWS - 1]


def test_worker_that_starts_again_counts_on() -> None:
    made = book()
    observe(made, 30)
    observe(made, 5, generation=2)
    assert [w.n for w in made.due(in_probation=False)] == [35]


def test_hour_closes_a_window_and_the_next_begins() -> None:
    made = book()
    observe(made, 30)
    (closed,) = observe(made, 60, mono_s=WINDOW_S + 1)
    (following,) = made.due(in_probation=False)
    assert (closed.n, following.n, following.index) == (30, 30, closed.index + 1)


def test_hour_with_too_few_is_merged_into_the_next() -> None:
    made = book()
    observe(made, 5)
    assert observe(made, 30, mono_s=WINDOW_S + 1) == []
    assert [w.n for w in made.due(in_probation=False)] == [30]


def test_full_window_closes() -> None:
    made = book()
    observe(made, MAX_ROWS)
    assert [w.n for w in observe(made, MAX_ROWS + 1)] == [MAX_ROWS]


def test_switch_closes_what_the_old_digest_counted_and_its_last_answers_come_after() -> None:
    made = book()
    observe(made, 10)
    assert [w.n for w in made.stop_serving("demo/motion", A)] == [10]
    observe(made, 12)  # answered while it drained
    observe(made, 7, manifest_sha256=B, version="2.0.0", generation=2)
    assert {(w.model_digest, w.n) for w in made.due(in_probation=True)} == {(A[:16], 2), (B[:16], 7)}


def test_challenger_that_becomes_active_begins_another_window() -> None:
    made = book()
    compared = {name: n for n, name in enumerate(SHADOW_COUNTERS, start=1)}
    beside = replace(snapshot(30), counters={**snapshot(30).counters, **compared})
    observe(made, 30, snapshot=beside)
    (closed,) = observe(made, 25, generation=2)  # promoted: the same bytes, whose answers are served now
    assert (closed.n, closed.of_challenger, closed.counters["shadow_compared"]) == (30, True, 1)
    (served,) = made.due(in_probation=False)
    assert (served.n, served.of_challenger) == (25, False)
    assert served.key != closed.key


def test_a_single_answer_after_the_switch_is_not_held_back_for_ever() -> None:
    made = book()
    observe(made, 30)
    assert [w.n for w in made.stop_serving("demo/motion", A)] == [30]
    observe(made, 31)  # the one that an open connection still asked for, after the commit
    assert [w.n for w in made.due(in_probation=False)] == [1]
    assert made.due(in_probation=False) == []
    observe(made, 5, generation=3)  # rolled back: it serves again, and a few are held as ever
    assert made.due(in_probation=False) == []


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("answer"), st.integers(0, 60)),
            st.tuples(st.just("restart"), st.just(0)),
            st.tuples(st.just("hour"), st.just(0)),
            st.tuples(st.just("report"), st.just(0)),
            st.tuples(st.just("switch"), st.just(0)),
        ),
        max_size=40,
    )
)
def test_every_inference_is_in_exactly_one_window(steps: list[tuple[str, int]]) -> None:
    made = book()
    rows: dict[tuple[object, ...], Window] = {}
    total = counted = 0
    generation, mono = 1, 0.0

    def put(windows: list[Window]) -> None:
        for window in windows:
            assert window.key not in rows or rows[window.key].rev < window.rev
            rows[window.key] = window

    for what, number in steps:
        if what == "answer":
            total, counted = total + number, counted + number
        elif what == "restart":
            put(observe(made, counted, generation=generation, mono_s=mono))
            generation, counted = generation + 1, 0
        elif what == "hour":
            mono += WINDOW_S
        elif what == "switch":
            put(made.stop_serving("demo/motion", A))
        else:
            put(made.due(in_probation=False))
        put(observe(made, counted, generation=generation, mono_s=mono))
    put(made.due(in_probation=True))
    assert sum(window.n for window in rows.values()) == total
    assert sum(window.counters["requests"] for window in rows.values()) == total
    assert sum(sum(window.sketch.latency) for window in rows.values()) == total


def with_feedback(n: int, *, said: int, correct: int) -> Snapshot:
    raw = snapshot(n)
    bins = (0,) * 9
    feedback = Feedback(
        kpis={"clicked": Kpi(n=said, total=float(said), squares=float(said))},
        labelled=(*bins, said),
        correct=(*bins, correct),
    )
    return replace(raw, feedback=feedback, counters={**raw.counters, "feedback_matched": said})


def test_feedback_that_comes_when_nothing_is_asked_any_more_is_told() -> None:
    """The application learns in the evening what it asked for in the morning."""
    made = book()
    observe(made, 0, snapshot=with_feedback(0, said=19, correct=10))
    assert made.due(in_probation=False) == []
    observe(made, 0, snapshot=with_feedback(0, said=30, correct=12))
    (window,) = made.due(in_probation=False)
    assert window.feedback is not None
    assert (window.n, window.feedback.kpis["clicked"].n, sum(window.feedback.correct)) == (0, 30, 12)


def test_feedback_counts_once_over_windows_and_restarts_of_the_worker() -> None:
    made = book()
    observe(made, 100, snapshot=with_feedback(100, said=40, correct=30))
    observe(made, 120, snapshot=with_feedback(120, said=60, correct=45))
    (first,) = made.due(in_probation=False)
    closed = observe(made, 130, snapshot=with_feedback(130, said=70, correct=50), mono_s=WINDOW_S + 1)
    observe(made, 25, snapshot=with_feedback(25, said=5, correct=5), generation=2, mono_s=WINDOW_S + 2)
    assert [window.key for window in closed] == [first.key]
    (second,) = made.due(in_probation=False)
    assert closed[0].feedback is not None
    assert second.feedback is not None
    told = closed[0].feedback.plus(second.feedback)
    assert (told.kpis["clicked"].n, sum(told.labelled), sum(told.correct)) == (75, 75, 55)
    both = merge_windows(closed[0], second)
    assert both.feedback == told
