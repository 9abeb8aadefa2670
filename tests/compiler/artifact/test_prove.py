"""What a variant is shipped with: golden vectors that hold, a baseline counted as devices count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_compiler.arrays import encode_arrays, parse_arrays
from limosa_compiler.artifact.golden import case_count, make_golden, parse_golden, worst_excess
from limosa_compiler.artifact.monitored import features_of
from limosa_compiler.artifact.prove import class_names
from limosa_compiler.artifact.sketch_baseline import baseline_of_column
from limosa_compiler.building import BuildResult
from limosa_compiler.data import Rows
from limosa_compiler.limits import LIMITS
from limosa_compiler.recipe.inputs import InputNotes
from limosa_compiler.running.runner import Runner
from limosa_contracts.baseline import BINS, Baseline
from limosa_contracts.binning import Binner
from limosa_contracts.errors import InvalidField
from limosa_contracts.features import FeatureReader
from limosa_contracts.serving import BASELINE_FILE, FILE, GOLDEN_FILE, MODEL_FILE, Serving, TensorSpec
from tests.compiler.graphs import classifier, rows


def files_of(built: BuildResult) -> dict[str, bytes]:
    return built.archive.files(built.archive.variants[0])


def test_golden_vectors_hold_for_the_shipped_model_and_not_for_another(toy: BuildResult) -> None:
    files = files_of(toy)
    serving = Serving.parse(files[FILE])
    inputs, expected = parse_golden(files[GOLDEN_FILE])
    assert {len(array) for array in (*inputs.values(), *expected.values())} == {serving.golden.cases}
    assert 16 <= serving.golden.cases <= 32
    assert worst_excess(Runner(files[MODEL_FILE]).predict(inputs), expected, serving.golden) <= 0
    fp32 = Runner(classifier().SerializeToString()).predict(inputs)
    assert serving.precision == "int8"
    assert worst_excess(fp32, expected, replace(serving.golden, absolute=0.0, relative=0.0)) > 0
    scrambled = {name: array[:, ::-1] for name, array in expected.items()}
    assert worst_excess(scrambled, expected, serving.golden) > 0.1


def test_nan_missing_or_misshapen_answers_never_pass(toy: BuildResult) -> None:
    files = files_of(toy)
    golden = Serving.parse(files[FILE]).golden
    _, expected = parse_golden(files[GOLDEN_FILE])
    nan = {name: np.full_like(array, np.nan) for name, array in expected.items()}
    for wrong in (nan, {}, {name: array[:1] for name, array in expected.items()}):
        assert worst_excess(wrong, expected, golden) == float("inf")


def test_large_inputs_give_fewer_golden_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    row = 16 + 12  # four floats in, three out
    monkeypatch.setattr("limosa_compiler.artifact.golden.LIMITS", replace(LIMITS, golden_max_bytes=5 * row))
    runner = Runner(classifier().SerializeToString())
    _, golden = make_golden(runner, Rows(inputs={"x": rows(50)["x"]}, labels=None), precision="fp32")
    assert golden.cases == 5


def test_golden_vectors_do_not_outweigh_their_model() -> None:
    """Devices fetch them together: 24 pictures once were larger than the model that looked at them."""
    model_bytes, picture = 6_000_000, 600_000
    cases = case_count(1000, row_bytes=picture, model_bytes=model_bytes)
    assert LIMITS.golden_cases_min <= cases
    assert cases * picture < model_bytes / 2


def test_baseline_counts_are_those_a_device_would_count_of_the_same_rows(toy: BuildResult) -> None:
    files = files_of(toy)
    serving, baseline = Serving.parse(files[FILE]), Baseline.parse(files[BASELINE_FILE])
    x = rows(600, seed=2)["x"]
    outputs = Runner(files[MODEL_FILE]).predict({"x": x})
    table = FeatureReader(serving).rows({"x": x}, outputs)
    bins, missing, _, _ = Binner(baseline.features).count(table)
    assert [feature.counts for feature in baseline.features] == [tuple(row) for row in bins.tolist()]
    assert missing.sum() == 0
    assert baseline.rows == 600
    assert sum(baseline.class_counts) == 600
    assert sum(n for n, _ in baseline.confidence) == 600
    assert sum(right for _, right in baseline.confidence) > 540


@given(
    st.lists(
        st.one_of(
            st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6),
            st.sampled_from([0.0, float("nan"), float("inf"), -float("inf"), 1.0]),
        ),
        min_size=1,
        max_size=80,
    )
)
def test_any_column_gives_a_baseline_that_parses_and_counts_every_row(values: list[float]) -> None:
    column = np.array(values, np.float32)
    feature = baseline_of_column("f", column)
    bins, missing, _, _ = Binner([feature]).count(column[:, None])
    assert bins.sum() + missing.sum() == len(values)
    assert missing[0] == np.isnan(column).sum()
    assert len(feature.counts) == BINS
    assert Baseline.parse(Baseline(rows=1, features=(feature,), class_counts=(), confidence=()).encode())


def test_bins_of_smooth_data_have_equal_mass_and_thin_tails() -> None:
    column = np.random.default_rng(3).normal(size=20_000).astype(np.float32)
    bins, _, _, _ = Binner([baseline_of_column("f", column)]).count(column[:, None])
    share = bins[0] / len(column)
    assert share[0] < 0.004
    assert share[-1] < 0.004
    assert share[1:-1].max() < 2 / 30
    assert (share[1:-1] > 0).all()


def test_heavy_tails_are_bent_before_they_are_binned() -> None:
    heavy = np.random.default_rng(4).standard_cauchy(20_000).astype(np.float32)
    feature = baseline_of_column("f", heavy)
    assert feature.transform == "asinh"
    bins, _, _, _ = Binner([feature]).count(heavy[:, None])
    assert (bins[0, 1:-1] > 0).sum() > 20


@pytest.mark.parametrize(
    "shape, channels, expected",
    [
        ((-1, 2), (), ["x[0]", "x[1]"]),
        ((-1, 2), ("speed", "height"), ["speed", "height"]),
        ((-1, 2, 50), ("a", "b"), ["a mean", "a std", "b mean", "b std"]),
        ((-1, 3, 8, 8), (), ["x[0] mean", "x[0] std", "x[1] mean", "x[1] std", "x[2] mean", "x[2] std"]),
        ((-1, 2048), (), ["x mean", "x std"]),
        ((-1, -1), (), ["x mean", "x std"]),
        ((-1,), (), ["x value"]),
    ],
)
def test_features_follow_from_the_shape(
    shape: tuple[int, ...], channels: tuple[str, ...], expected: list[str]
) -> None:
    spec = TensorSpec(name="x", dtype="FP32", shape=shape)
    found = features_of([spec], [], {"x": InputNotes(channels=channels)}, probabilities="")
    assert [feature.name for feature in found] == expected


def test_channel_names_that_do_not_match_the_model_are_refused() -> None:
    spec = TensorSpec(name="x", dtype="FP32", shape=(-1, 2))
    with pytest.raises(InvalidField):
        features_of([spec], [], {"x": InputNotes(channels=("only one",))}, probabilities="")


def test_class_names_must_be_as_many_as_the_model_has() -> None:
    with pytest.raises(InvalidField):
        class_names(("a", "b"), np.zeros((1, 3)))
    assert class_names((), np.zeros((1, 3))) == ("0", "1", "2")


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float16", "float32", "float64"])
def test_arrays_survive_the_tensor_file(dtype: str) -> None:
    array: np.ndarray[Any, Any] = np.arange(12).reshape(3, 4).astype(dtype)
    back = parse_arrays(encode_arrays({"a": array.T}))["a"]
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array.T)
