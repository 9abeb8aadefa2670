"""Steps for sensor windows, tables and texts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compiler.processing.attached import before

WINDOW = np.random.default_rng(1).normal(size=(4, 3, 50)).astype(np.float32)


def test_channels_are_standardised_by_numbers_from_training() -> None:
    mean, std = [0.1, -9.8, 3.0], [1.5, 2.5, 0.1]
    got = before(
        WINDOW, {"step": "normalize", "mean": mean, "std": std, "axis": 1}, takes=("float32", ["N", 3, 50])
    )
    shaped = (np.array(values, np.float32).reshape(3, 1) for values in (mean, std))
    np.testing.assert_array_equal(got, (WINDOW - next(shaped)) / next(shaped))


def test_differences_are_numpys() -> None:
    got = before(WINDOW, {"step": "difference"}, takes=("float32", ["N", 3, 49]))
    np.testing.assert_array_equal(got, np.diff(WINDOW))
    got = before(WINDOW, {"step": "difference", "axis": 1}, takes=("float32", ["N", 2, 50]))
    np.testing.assert_array_equal(got, np.diff(WINDOW, axis=1))


@pytest.mark.parametrize("append", [False, True])
def test_magnitude_of_an_accelerometer(append: bool) -> None:
    got = before(
        WINDOW,
        {"step": "magnitude", "channels": [0, 2], "width": 3, "append": append},
        takes=("float32", ["N", 4 if append else 1, 50]),
    )
    magnitude = np.sqrt(WINDOW[:, [0]] ** 2 + WINDOW[:, [2]] ** 2)
    expected = np.concatenate([WINDOW, magnitude], axis=1) if append else magnitude
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("rank", [2, 3])
def test_moving_average_is_a_convolution(rank: int) -> None:
    x = WINDOW if rank == 3 else WINDOW[:, 0]
    got = before(x, {"step": "moving_average", "length": 7}, takes=("float32", ["N", *x.shape[1:-1], 44]))
    expected = np.apply_along_axis(lambda row: np.convolve(row, np.ones(7) / 7, "valid"), -1, x)
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_missing_values_become_a_value_and_outliers_the_bound() -> None:
    x = np.array([[np.nan, 1.0, -np.inf, 99.0]], np.float32)
    got = before(
        x,
        {"step": "fill_missing", "value": -3},
        {"step": "clip", "low": -5, "high": 5},
        takes=("float32", ["N", 4]),
    )
    np.testing.assert_array_equal(got, [[-3, 1, -5, 5]])


def test_an_index_outside_the_classes_is_no_class() -> None:
    x = np.array([[0, 2], [-1, 3]])
    got = before(x, {"step": "one_hot", "classes": 3}, takes=("float32", ["N", 2, 3]))
    np.testing.assert_array_equal(got, [[[1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]])


def test_texts_become_their_numbers() -> None:
    x = np.array([["red"], ["blue"], ["mauve"]], dtype=object)
    got = before(x, {"step": "map", "keys": ["blue", "red"], "unknown": 2}, takes=("int64", ["N", 1]))
    assert got.tolist() == [[1], [0], [2]]


def test_texts_become_one_hot() -> None:
    x = np.array([["red"], ["blue"], ["mauve"]], dtype=object)
    got = before(
        x,
        {"step": "map", "keys": ["blue", "red"]},
        {"step": "one_hot", "classes": 2},
        {"step": "squeeze", "axis": 1},
        takes=("float32", ["N", 2]),
    )
    assert got.tolist() == [[0, 1], [1, 0], [0, 0]]
