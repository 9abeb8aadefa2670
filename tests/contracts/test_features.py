"""Monitored scalars, read the same way by compiler and device (telemetry 1.3)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidField
from limosa_contracts.features import FeatureReader
from limosa_contracts.serving import FeatureSpec, Serving

SERVING = Serving.parse((Path(__file__).parent / "golden" / "serving-1.json").read_bytes())


def reader(*features: tuple[str, str, int, str]) -> FeatureReader:
    """(kind, tensor, channel, reduce) each."""
    specs = tuple(
        FeatureSpec(name=f"f{i}", kind=kind, tensor=tensor, channel=channel, reduce=reduce)
        for i, (kind, tensor, channel, reduce) in enumerate(features)
    )
    return FeatureReader(replace(SERVING, features=specs))


def test_channels_are_folded_and_stay_in_the_order_of_the_document() -> None:
    window = np.random.default_rng(0).normal(size=(5, 6, 100)).astype(np.float32)
    rows = reader(
        ("input", "window", 2, "mean"),
        ("input", "window", -1, "max"),
        ("input", "window", 0, "mean"),
        ("input", "window", 0, "std"),
        ("input", "window", 5, "min"),
    ).rows({"window": window}, {})
    assert rows.dtype == np.float32
    expected = np.stack(
        [
            window[:, 2].mean(axis=1),
            window.max(axis=(1, 2)),
            window[:, 0].mean(axis=1),
            window[:, 0].std(axis=1),
            window[:, 5].min(axis=1),
        ],
        axis=1,
    )
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)


@given(st.lists(st.lists(st.floats(0.001, 1), min_size=3, max_size=3), min_size=1, max_size=8))
def test_confidence_entropy_and_margin_are_what_they_are_called(weights: list[list[float]]) -> None:
    table = np.array(weights, np.float64)
    table /= table.sum(axis=1, keepdims=True)
    rows = reader(
        ("output", "probabilities", -1, "top"),
        ("output", "probabilities", -1, "entropy"),
        ("output", "probabilities", -1, "margin"),
    ).rows({}, {"probabilities": table.astype(np.float32)})
    ranked = np.sort(table, axis=1)
    expected = [table.max(axis=1), -(table * np.log(table)).sum(axis=1), ranked[:, -1] - ranked[:, -2]]
    np.testing.assert_allclose(rows, np.stack(expected, axis=1), atol=1e-4)


def test_certain_answer_has_no_entropy_and_nan_stays_nan() -> None:
    rows = reader(("output", "probabilities", -1, "entropy")).rows(
        {}, {"probabilities": np.array([[1.0, 0.0], [np.nan, 0.5]], np.float32)}
    )
    assert rows[0, 0] == pytest.approx(0.0, abs=1e-6)
    assert np.isnan(rows[1, 0])


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 1, 1)])
def test_single_value_of_a_row_is_read_whatever_its_shape(shape: tuple[int, ...]) -> None:
    values = np.arange(4, dtype=np.float32)
    rows = reader(("output", "y", -1, "value")).rows({}, {"y": values.reshape(shape)})
    assert rows.ravel().tolist() == values.tolist()


@pytest.mark.parametrize(
    "feature, tensor",
    [
        (("input", "window", 6, "mean"), np.zeros((2, 6, 3), np.float32)),
        (("input", "window", 0, "value"), np.zeros((2, 6, 3), np.float32)),
        (("input", "ghost", 0, "mean"), np.zeros((2, 6, 3), np.float32)),
        (("input", "window", 0, "mean"), np.zeros(2, np.float32)),
        (("input", "window", -1, "top"), np.zeros((2, 6, 3), np.float32)),
    ],
)
def test_tensor_that_has_no_such_feature_is_refused(
    feature: tuple[str, str, int, str], tensor: np.ndarray[Any, Any]
) -> None:
    with pytest.raises(InvalidField):
        reader(feature).rows({"window": tensor}, {})


def test_no_features_give_no_columns() -> None:
    assert reader().rows({"window": np.zeros((3, 6, 100), np.float32)}, {}).size == 0


def test_an_image_with_channels_last_is_folded_by_colour() -> None:
    image = np.random.default_rng(0).integers(0, 256, size=(3, 8, 10, 4), dtype=np.uint8)
    specs = tuple(
        FeatureSpec(name=f"{fold}{c}", kind="input", tensor="window", channel=c, reduce=fold, axis=-1)
        for c in (0, 1, 3)
        for fold in ("mean", "std", "max")
    )
    rows = FeatureReader(replace(SERVING, features=specs)).rows({"window": image}, {})
    expected = [
        [fold(one[..., c].astype(np.float64)) for c in (0, 1, 3) for fold in (np.mean, np.std, np.max)]
        for one in image
    ]
    np.testing.assert_allclose(rows, expected, rtol=1e-5)


def test_a_feature_says_its_axis_only_where_channels_are_last() -> None:
    first = FeatureSpec(name="a", kind="input", tensor="x", channel=0, reduce="mean")
    last = replace(first, axis=-1)
    assert "axis" not in first.as_json()  # as documents had it before there was an axis
    assert [FeatureSpec.parse(spec.as_json(), where="") for spec in (first, last)] == [first, last]
    with pytest.raises(InvalidField):
        FeatureSpec.parse({**last.as_json(), "axis": 0}, where="")
