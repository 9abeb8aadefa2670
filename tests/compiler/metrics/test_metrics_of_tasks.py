"""Texts, boxes, top-k and agreement: each against an example worked by hand or the plain definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_compiler.errors import DataMismatch
from limosa_compiler.metrics import METRICS, check_labels, metric_named
from limosa_compiler.metrics.detection import overlaps
from limosa_compiler.metrics.texts import ctc_positions, edit_distance

Array = np.ndarray[Any, Any]
ALPHABET = ("", "a", "b", " ")
WORDS = st.text("ab c", max_size=12)


def plain_distance(one: str, other: str) -> int:
    """The table of Levenshtein, cell by cell."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, start=1):
        above, row[0] = row[0], i
        for j, right in enumerate(other, start=1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (left != right))
    return row[-1]


def logits(text: str, *, steps: int = 24) -> Array:
    """[steps, K]: each letter twice, a blank after it."""
    best = [at for letter in text for at in (ALPHABET.index(letter),) * 2 + (0,)]
    return np.eye(len(ALPHABET), dtype=np.float32)[best + [0] * (steps - len(best))]


@given(WORDS, WORDS)
def test_edit_distance_is_that_of_the_plain_table(one: str, other: str) -> None:
    assert edit_distance(one, other) == plain_distance(one, other)
    assert edit_distance(one, other) == edit_distance(other, one)
    assert edit_distance(one.split(), other.split()) <= max(len(one.split()), len(other.split()))


@given(st.lists(st.text("ab ", min_size=1, max_size=8), min_size=1, max_size=6))
def test_text_that_was_said_is_the_text_that_is_read(texts: list[str]) -> None:
    answers = np.stack([logits(text) for text in texts])
    cer = metric_named("cer", classes=ALPHABET)
    columns = cer.columns(answers, np.array(texts))
    assert cer.of(columns) == 0
    assert columns[:, 1].tolist() == [len(text) for text in texts]


def test_character_and_word_error_rates_are_those_worked_by_hand() -> None:
    answers = np.stack([logits("ab ab"), logits("a")])
    labels = np.array(["ab aa", "bb"])
    cer, wer = (metric_named(name, classes=ALPHABET) for name in ("cer", "wer"))
    check_labels(cer, answers, labels, where="e.npz")
    assert cer.of(cer.columns(answers, labels)) == pytest.approx(3 / 7)  # 1 of 5, and 2 of 2
    assert wer.of(wer.columns(answers, labels)) == pytest.approx(2 / 3)  # 1 of 2, and 1 of 1
    assert float(cer.points(np.asarray(0.12), np.asarray(0.10))) == pytest.approx(-2)


def test_positions_are_compared_without_an_alphabet_and_fill_is_no_letter() -> None:
    cer = metric_named("cer")
    answers, labels = np.array([[5, 7, -1, -1], [9, 9, 9, -1]]), np.array([[5, 7], [9, 9]])
    check_labels(cer, answers, labels, where="e.npz")
    assert cer.columns(answers, labels).tolist() == [[0, 2], [1, 2]]
    assert ctc_positions(np.eye(3)[[[0, 0, 0]]]) == [()]


@pytest.mark.parametrize(
    "name, classes, answers, labels, place",
    [
        ("wer", (), np.zeros((2, 5, 4)), np.array(["a", "b"]), "classes"),
        ("cer", ALPHABET[:3], np.zeros((2, 5, 4)), np.array(["a", "b"]), "classes"),
        ("cer", ALPHABET, np.zeros((2, 4)), np.array(["a", "b"]), "metric.output"),
        ("cer", ALPHABET, np.zeros((2, 5, 4)), np.array([0.5, 1.0]), "e.npz"),
        ("cer", ALPHABET, np.zeros((2, 5, 4)), np.array([[0, 4], [1, 1]]), "e.npz"),
        ("map", (), np.zeros((2, 3, 5)), np.zeros((2, 3, 5)), "metric.output"),
        ("map", (), np.zeros((2, 3, 6)), np.zeros((2, 3)), "e.npz"),
        ("map", (), np.zeros((2, 3, 6)), np.full((2, 3, 5), -1.0), "e.npz"),
        ("top5", (), np.zeros((2, 5)), np.array([0, 1]), "metric.output"),
        ("cosine", (), np.zeros((2, 5)), np.array([0, 1]), "e.npz"),
        ("sqnr", (), np.zeros((2, 1)), np.array(["a", "b"]), "e.npz"),
    ],
)
def test_labels_that_a_metric_cannot_compare_are_refused(
    name: str, classes: tuple[str, ...], answers: Array, labels: Array, place: str
) -> None:
    with pytest.raises(DataMismatch) as refused:
        check_labels(metric_named(name, classes=classes), answers, labels, where="e.npz")
    assert refused.value.where == place


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=20), st.integers(2, 3)
)
def test_top_k_counts_labels_among_the_k_best(scores: list[list[int]], k: int) -> None:
    answers, labels = np.array(scores, np.float32), np.zeros(len(scores), np.int64)
    metric = metric_named(f"top{k}")
    plain = [sum(other > row[0] for other in row[1:]) < k for row in scores]  # class 0 wins its ties
    assert metric.of(metric.columns(answers, labels)) == pytest.approx(np.mean(plain))


def boxes(*rows: tuple[float, ...], fill: int = 4) -> Array:
    width = len(rows[0])
    empty = [0.0] * width if width == 6 else [0.0, 0.0, 0.0, 0.0, -1.0]
    return np.array([*rows, *[empty] * (fill - len(rows))])


def test_mean_average_precision_is_that_worked_by_hand() -> None:
    """Class 0: hit at .9, miss at .8, hit at .7 of two boxes; class 1: its one box is not found.

    Precision 1 up to recall .5 (51 of 101 points), then 2/3 (50 points): (51 + 50 · 2/3) / 101 = .8350.
    """
    labels = np.stack([boxes((0, 0, 10, 10, 0), (20, 20, 30, 30, 0)), boxes((0, 0, 10, 10, 1))])
    answers = np.stack(
        [
            boxes((0, 0, 10, 9, 0.9, 0), (50, 50, 60, 60, 0.8, 0), (20, 20, 30, 30, 0.7, 0)),
            boxes((0, 0, 10, 4, 0.9, 1)),  # overlaps by .4 only
        ]
    )
    metric = METRICS["map"]
    check_labels(metric, answers, labels, where="e.npz")
    expected = (51 + 50 * 2 / 3) / 101 / 2
    assert metric.of(metric.columns(answers, labels)) == pytest.approx(expected)


def test_box_found_twice_is_a_miss_and_a_class_without_boxes_does_not_count() -> None:
    labels = np.stack([boxes((0, 0, 10, 10, 0))])
    twice = np.stack([boxes((0, 0, 10, 10, 0.5, 0), (0, 0, 10, 10, 0.9, 0), (0, 0, 1, 1, 0.9, 3))])
    metric = METRICS["map"]
    columns = metric.columns(twice, labels)
    assert metric.of(columns) == pytest.approx(1.0)  # the miss comes after recall 1
    assert columns.sum(axis=0)[[90, 150]].tolist() == [1.0, 1.0]


@given(st.permutations(range(5)), st.integers(0, 2**31))
def test_order_of_boxes_and_rows_does_not_matter(order: list[int], seed: int) -> None:
    draw = np.random.default_rng(seed)
    corners = draw.uniform(0, 20, size=(3, 5, 2))
    found = np.concatenate(
        [
            corners,
            corners + 5,
            draw.permutation(99)[:15].reshape(3, 5, 1) / 99,
            draw.integers(0, 2, (3, 5, 1)),
        ],
        axis=2,
    )
    true = np.concatenate([corners + 1, corners + 6, draw.integers(0, 2, (3, 5, 1))], axis=2)
    metric = METRICS["map"]
    value = metric.of(metric.columns(found, true))
    assert 0 <= value <= 1
    assert metric.of(metric.columns(found[::-1, order], true[::-1])) == pytest.approx(value)
    assert (np.diag(overlaps(true[0, :, :4], true[0, :, :4])) == 1).all()


def test_what_agrees_entirely_loses_nothing_and_noise_is_counted_in_points() -> None:
    signal = np.random.default_rng(5).normal(size=(200, 16))
    cosine, sqnr = METRICS["cosine"], METRICS["sqnr"]
    for metric in (cosine, sqnr):
        same = metric.of(metric.columns(signal, signal))
        assert float(metric.points(np.asarray(same), np.asarray(same))) == 0
    assert cosine.of(cosine.columns(3 * signal, signal)) == pytest.approx(1)
    assert cosine.of(cosine.columns(-signal, signal)) == pytest.approx(-1)
    decibels = sqnr.of(sqnr.columns(signal * 1.01, signal))
    assert decibels == pytest.approx(40)
    assert float(sqnr.points(np.asarray(decibels), np.asarray(200.0))) == pytest.approx(-0.01)


def test_rows_of_zeros_are_compared_without_a_division_by_zero() -> None:
    zeros, ones = np.zeros((1, 4)), np.ones((1, 4))
    cosine, sqnr = METRICS["cosine"], METRICS["sqnr"]
    assert [cosine.of(cosine.columns(zeros, other)) for other in (zeros, ones)] == [1, 0]
    assert [sqnr.of(sqnr.columns(other, zeros)) for other in (zeros, ones)] == [0, -200]
