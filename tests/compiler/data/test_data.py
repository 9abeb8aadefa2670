"""Data that fits, and data that does not (issue: bad input)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_compiler.arrays import Array
from limosa_compiler.data import Rows, fit_rows, read_arrays, require_labels, split_rows
from limosa_compiler.errors import DataMismatch, DataUnreadable, LabelsMissing
from limosa_contracts.serving import TensorSpec

WINDOW = TensorSpec(name="window", dtype="FP32", shape=(-1, 6, 100))
IDS = TensorSpec(name="ids", dtype="INT32", shape=(-1, 3))


def test_folder_of_npy_gives_the_same_as_an_npz(tmp_path: Path) -> None:
    window = np.arange(1200, dtype=np.float32).reshape(2, 6, 100)
    np.savez(tmp_path / "d.npz", window=window)
    (tmp_path / "d").mkdir()
    np.save(tmp_path / "d" / "window.npy", window)
    stored, folder = read_arrays(tmp_path / "d.npz"), read_arrays(tmp_path / "d")
    assert list(stored) == list(folder) == ["window"]
    first, second = (fit_rows(arrays, [WINDOW], label="label", where="d") for arrays in (stored, folder))
    assert first.digest == second.digest


def test_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    for data in (b"", b"hello", b"PK\x03\x04 cut"):
        path.write_bytes(data)
        with pytest.raises(DataUnreadable):
            read_arrays(path)


def test_pickled_objects_are_not_run(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", window=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataUnreadable):
        read_arrays(tmp_path / "d.npz")


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match="no arrays"):
        read_arrays(tmp_path)


def test_array_with_another_name_is_named_in_the_hint() -> None:
    with pytest.raises(DataMismatch) as refused:
        fit_rows({"windows": np.zeros((1, 6, 100))}, [WINDOW], label="label", where="c.npz")
    assert "'windows'" in refused.value.hint
    assert refused.value.where == "c.npz"


@pytest.mark.parametrize("shape", [(5, 6, 99), (5, 600), (5, 100, 6), (6, 100)])
def test_shape_that_does_not_fit_is_shown_beside_the_models(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataMismatch) as refused:
        fit_rows({"window": np.zeros(shape, np.float32)}, [WINDOW], label="label", where="d")
    assert str(list(shape)) in refused.value.what
    assert "[-1, 6, 100]" in refused.value.why


def test_numbers_are_widened_or_narrowed_within_their_kind_and_never_rounded() -> None:
    rows = fit_rows({"window": np.zeros((1, 6, 100), np.float16)}, [WINDOW], label="label", where="d")
    assert rows.inputs["window"].dtype == np.float32
    narrowed = fit_rows({"ids": np.zeros((1, 3), np.int64)}, [IDS], label="label", where="d")
    assert narrowed.inputs["ids"].dtype == np.int32
    with pytest.raises(DataMismatch, match="rounded"):
        fit_rows({"ids": np.zeros((1, 3), np.float32)}, [IDS], label="label", where="d")


def test_labels_of_another_length_are_refused() -> None:
    arrays: dict[str, Array] = {"ids": np.zeros((3, 3), np.int32), "label": np.zeros(2, np.int64)}
    with pytest.raises(DataMismatch, match="different numbers of rows"):
        fit_rows(arrays, [IDS], label="label", where="d")


def test_missing_labels_are_asked_for_by_name() -> None:
    rows = fit_rows(
        {"ids": np.zeros((3, 3), np.int32), "y": np.zeros(3)}, [IDS], label="label", where="e.npz"
    )
    with pytest.raises(LabelsMissing) as refused:
        require_labels(rows, label="label", known=("ids", "y"), where="e.npz")
    assert "ids, y" in refused.value.why


@given(
    st.lists(st.integers(0, 40), min_size=2, max_size=60).filter(lambda values: len(set(values)) > 1),
    st.permutations(range(8)),
)
def test_split_depends_on_rows_alone_and_never_puts_equal_rows_on_both_sides(
    values: list[int], order: list[int]
) -> None:
    x = np.array(values, np.float32)[:, None]
    tune, holdout = split_rows(Rows(inputs={"x": x}, labels=x[:, 0]), tune_share=0.6)
    sides = [set(part.inputs["x"].ravel().tolist()) for part in (tune, holdout)]
    assert not sides[0] & sides[1]
    assert tune.count + holdout.count == len(values)
    shuffled = np.roll(x, order[0], axis=0)
    again, _ = split_rows(Rows(inputs={"x": shuffled}, labels=shuffled[:, 0]), tune_share=0.6)
    assert set(again.inputs["x"].ravel().tolist()) == sides[0]


def test_split_gives_the_share_that_was_asked_for() -> None:
    x = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    tune, holdout = split_rows(Rows(inputs={"x": x}, labels=None), tune_share=0.6)
    assert (tune.count, holdout.count) == (600, 400)


def test_axes_in_another_order_are_said_with_the_line_that_mends_it() -> None:
    picture = TensorSpec(name="image", dtype="FP32", shape=(-1, 3, 24, 32))
    with pytest.raises(DataMismatch) as refused:
        fit_rows({"image": np.zeros((5, 24, 32, 3), np.float32)}, [picture], label="label", where="d")
    assert "numpy.transpose(image, (0, 3, 1, 2))" in refused.value.hint


def test_a_text_among_numbers_is_named_with_its_row_also_where_a_column_is_an_input() -> None:
    load = TensorSpec(name="load", dtype="FP32", shape=(-1, 1))
    with pytest.raises(DataMismatch) as refused:
        fit_rows({"load": np.array(["1.5", "n/a"])}, [load], label="label", where="d.csv")
    assert "row 1: 'n/a'" in refused.value.why


def test_arrays_of_python_objects_are_refused_with_how_to_save_texts(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", label=np.array(["walk", "run"], dtype=object))
    with pytest.raises(DataUnreadable) as refused:
        read_arrays(tmp_path / "e.npz")
    assert "allow_pickle" not in refused.value.why
    assert "astype(str)" in refused.value.hint
