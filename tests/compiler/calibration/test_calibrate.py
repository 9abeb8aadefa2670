"""Calibration from a stream: extremes, tails, memory, and a cache that is never believed blindly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from limosa_compiler.arrays import Array
from limosa_compiler.calibration import calibrate as calibrating
from limosa_compiler.calibration.activation_sizes import bytes_of_rows
from limosa_compiler.calibration.cache import CalibrationCache, key_of
from limosa_compiler.calibration.calibrate import HISTOGRAM_BINS, activations, calibrate, cut_tails, histogram
from limosa_compiler.calibration.range_table import SHARES, RangeTable, TensorRange
from limosa_compiler.errors import DataMismatch
from limosa_compiler.limits import LIMITS
from limosa_contracts.fields import Fields
from tests.compiler.graphs import FEATURES, classifier, model_of, rows
from tests.compiler.rungs.material import Stream, prepared_of


def prepared(model: onnx.ModelProto | None = None) -> onnx.ModelProto:
    return prepared_of(model or classifier())[1]


def calibrated(model: onnx.ModelProto, x: Array) -> RangeTable:
    return calibrate(model, Stream({"x": x}))


def test_ranges_are_the_extremes_of_every_activation() -> None:
    x = rows(200)["x"]
    table = calibrated(prepared(), x)
    assert table.minmax["x"] == TensorRange(low=float(x.min()), high=float(x.max()))
    assert table.minmax["scores"].low >= 0.0
    assert table.minmax["scores"].high <= 1.0
    for cut in table.cut.values():
        assert set(table.minmax) == set(cut) >= {"x", "hidden", "positive", "logits", "scores"}


def test_ranges_do_not_depend_on_how_rows_come_in_batches() -> None:
    model, x = prepared(), rows(130)["x"]

    def in_sevens(_: int) -> Iterator[dict[str, Array]]:
        yield from Stream({"x": x})(7)

    one, many = calibrated(model, x), calibrate(model, in_sevens)
    assert one.minmax["x"] == many.minmax["x"]
    assert all(one.cut[name]["x"] == many.cut[name]["x"] for name in SHARES)


def test_outlier_is_cut_by_the_percentile_and_kept_by_minmax() -> None:
    x = rows(4000)["x"]
    x[0, 0] = 1000
    table = calibrated(prepared(), x)
    assert table.minmax["x"].high == 1000
    assert table.cut["p99.9"]["x"].high < 10
    assert table.cut["p99.9"]["x"].high <= table.cut["p99.999"]["x"].high


def test_activations_too_large_to_be_held_together_are_looked_at_in_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A detector of 640 × 640 would otherwise need gigabytes; the table is the same."""
    model, x = prepared(), rows(90)["x"]
    whole = calibrated(model, x)
    monkeypatch.setattr(calibrating, "LIMITS", replace(LIMITS, activation_bytes=600))
    assert calibrated(model, x) == whole


def test_sizes_of_activations_are_known_before_anything_runs() -> None:
    model = prepared()
    sizes = bytes_of_rows(model, {"x": rows(1)["x"]}, activations(model))
    assert sizes["x"] == FEATURES * 4
    assert sizes["hidden"] == 64 * 4


def test_activation_that_is_never_finite_is_named() -> None:
    with pytest.raises(DataMismatch) as refused:
        calibrated(prepared(), np.full((10, 4), np.inf, np.float32))
    assert refused.value.where == "x"


def test_single_values_that_are_not_finite_are_left_aside() -> None:
    x = rows(50)["x"]
    x[3, 1], x[4, 2] = np.nan, np.inf
    table = calibrated(prepared(), x)
    assert np.isfinite([table.minmax["x"].low, table.minmax["x"].high]).all()


def test_constant_activation_has_a_range_of_one_value() -> None:
    model = model_of(
        [
            helper.make_node("Mul", ["x", "zero"], ["nothing"], name="mul"),
            helper.make_node("Add", ["nothing", "x"], ["y"], name="add"),
        ],
        {"zero": np.zeros(1, np.float32)},
        {"x": ["N", 4]},
        {"y": ["N", 4]},
    )
    table = calibrated(model, rows(20)["x"])
    assert table.minmax["nothing"] == TensorRange(low=0.0, high=0.0) == table.cut["p99.9"]["nothing"]


@given(
    counts=st.lists(st.integers(0, 50), min_size=2, max_size=40).filter(any),
    share=st.floats(0.5, 1.0),
)
def test_tails_that_are_cut_hold_no_more_than_their_share(counts: list[int], share: float) -> None:
    span = TensorRange(low=0.0, high=float(len(counts)))
    kept = cut_tails(np.array(counts), span, share=share)
    below = sum(counts[: round(kept.low)])
    above = sum(counts[round(kept.high) :])
    allowed = sum(counts) * (1 - share) / 2 + 1e-6
    assert below <= allowed
    assert above <= allowed
    assert kept.high > kept.low


@given(st.lists(st.floats(-(2.0**90), 2.0**90, width=32), min_size=2, max_size=200))
def test_histogram_counts_what_numpys_does(values: list[float]) -> None:
    array = np.array(values, np.float32)
    span = TensorRange(low=float(array.min()), high=float(array.max()))
    if not span.high > span.low:
        return
    ours = histogram(array, span)
    theirs, _ = np.histogram(array.astype(np.float64), HISTOGRAM_BINS, range=(span.low, span.high))
    assert ours.sum() == theirs.sum() == len(values)
    # A value on an edge may fall to either side.
    assert np.abs(np.cumsum(ours) - np.cumsum(theirs)).max() <= len(values)
    assert (np.flatnonzero(ours)[0], np.flatnonzero(ours)[-1]) == (0, HISTOGRAM_BINS - 1)


class Computed:
    """Counts how often a table was computed."""

    def __init__(self, table: RangeTable) -> None:
        self.table = table
        self.times = 0

    def __call__(self) -> RangeTable:
        self.times += 1
        return self.table


def test_cached_table_is_equal_to_the_computed_one_and_computed_once(tmp_path: Path) -> None:
    compute = Computed(calibrated(prepared(), rows(60)["x"]))
    cache = CalibrationCache(folder=tmp_path / "limosa")
    key = key_of(prepared(), "data")
    (first, known), (second, found) = (cache.table(key, compute) for _ in range(2))
    assert (known, found, compute.times) == (False, True, 1)
    assert first == second
    assert list(first.minmax) == list(second.minmax)
    assert first.digest == second.digest


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"\xff" + data,
        lambda data: data.replace(b'"limosa.ranges/1"', b'"limosa.ranges/2"'),
        lambda data: data.replace(b'"digest":"', b'"digest":"0', 1),
        lambda data: data.replace(b'"table"', b'"tables"'),
    ],
)
def test_damaged_table_is_computed_again(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    compute = Computed(calibrated(prepared(), rows(60)["x"]))
    cache = CalibrationCache(folder=tmp_path)
    cache.table("k", compute)
    path = tmp_path / "k.json"
    path.write_bytes(damage(path.read_bytes()))
    table, known = cache.table("k", compute)
    assert (known, compute.times) == (False, 2)
    assert table == compute.table
    assert cache.table("k", compute)[1]


def test_table_of_another_key_is_not_taken_for_this_one(tmp_path: Path) -> None:
    compute = Computed(calibrated(prepared(), rows(60)["x"]))
    cache = CalibrationCache(folder=tmp_path)
    cache.table("a", compute)
    (tmp_path / "a.json").rename(tmp_path / "b.json")
    assert cache.table("b", compute)[1] is False


def test_cache_stays_within_its_bytes(tmp_path: Path) -> None:
    table = calibrated(prepared(), rows(60)["x"])
    size = len(CalibrationCache(folder=tmp_path / "one").table("k", lambda: table)[0].as_json()) * 2000
    cache = CalibrationCache(folder=tmp_path / "many", max_bytes=max(size, 8000))
    for number in range(12):
        cache.table(f"k{number}", lambda: table)
    kept = list((tmp_path / "many").glob("*.json"))
    assert 0 < sum(path.stat().st_size for path in kept) <= cache.max_bytes
    assert len(kept) < 12


def test_cache_in_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    compute = Computed(calibrated(prepared(), rows(60)["x"]))
    table, known = CalibrationCache(folder=blocked / "limosa").table("k", compute)
    assert (table, known) == (compute.table, False)


def test_key_depends_on_model_and_data() -> None:
    model, other = prepared(), prepared(classifier(bias_rank=2, opset=18))
    assert len({key_of(model, "a"), key_of(model, "b"), key_of(other, "a")}) == 3
    assert key_of(model, "a") == key_of(prepared(), "a")


def test_table_is_read_as_it_was_written() -> None:
    table = calibrated(prepared(), rows(60)["x"])
    assert RangeTable.parse(Fields(table.as_json(), where="t")) == table
