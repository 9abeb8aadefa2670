"""Inputs against what serving.json declares: refused by name, never rounded to fit (agent 5.1)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from limosa_agent.serving.errors import InputCategory, InputRange, InputShape
from limosa_agent.serving.schema_check import SHOWN_MAX, SchemaCheck
from limosa_contracts.serving import TensorSpec
from tests.agent.serving.serving_doc import serving_of


def check_of(*inputs: TensorSpec, rows_max: int = 8) -> SchemaCheck:
    return SchemaCheck(serving_of(*inputs), rows_max=rows_max)


SEASON = TensorSpec(name="season", dtype="BYTES", shape=(-1, 1), categories=("cold", "hot"))


def test_text_that_is_no_category_is_refused_and_the_known_ones_are_named() -> None:
    check = check_of(SEASON)
    assert check({"season": np.array([["hot"], ["cold"]], object)}) == 2
    with pytest.raises(InputCategory) as refused:
        check({"season": np.array([["hot"], ["warm"]], object)})
    assert refused.value.code == "LM-576"
    assert "warm" in str(refused.value)
    assert "cold, hot" in refused.value.hint


def test_bytes_of_the_own_process_are_read_as_texts() -> None:
    check = check_of(SEASON)
    assert check({"season": np.array([[b"hot"]], object)}) == 1
    with pytest.raises(InputCategory):
        check({"season": np.array([[b"\xff"]], object)})


def test_hint_names_the_first_of_many_categories_only() -> None:
    many = tuple(f"c{i:04}" for i in range(1000))
    with pytest.raises(InputCategory) as refused:
        check_of(TensorSpec(name="c", dtype="BYTES", shape=(-1,), categories=many))(
            {"c": np.array(["x"], object)}
        )
    assert refused.value.hint.endswith(f"and {1000 - SHOWN_MAX} more")


RANGED = TensorSpec(name="x", dtype="FP32", shape=(-1, 2), low=-1.0, high=1.0)


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 8), st.just(2))))
def test_range_is_what_every_single_value_says(
    array: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> None:
    fits = all(-1.0 <= float(value) <= 1.0 for value in array.ravel())
    check = check_of(RANGED)
    if fits:
        assert check({"x": array}) == len(array)
    else:
        with pytest.raises(InputRange):
            check({"x": array})


def test_rows_of_one_request_are_limited_and_the_same_for_all_inputs() -> None:
    other = TensorSpec(name="z", dtype="INT64", shape=(-1,))
    check = check_of(RANGED, other, rows_max=3)
    for rows in (1, 3, 2):
        assert check({"x": np.zeros((rows, 2), np.float32), "z": np.zeros(rows, np.int64)}) == rows
    with pytest.raises(InputShape, match="at most 3"):
        check({"x": np.zeros((4, 2), np.float32), "z": np.zeros(4, np.int64)})
    with pytest.raises(InputShape, match="different numbers of rows"):
        check({"x": np.zeros((3, 2), np.float32), "z": np.zeros(2, np.int64)})


def test_every_declared_dynamic_dimension_may_change_from_request_to_request() -> None:
    check = check_of(TensorSpec(name="x", dtype="FP32", shape=(-1, -1, 4)))
    assert [check({"x": np.zeros((n, t, 4), np.float32)}) for n, t in ((1, 5), (2, 9), (1, 1))] == [1, 2, 1]
    for wrong in ((1, 0, 4), (1, 5, 3), (5, 4)):
        with pytest.raises(InputShape):
            check({"x": np.zeros(wrong, np.float32)})
