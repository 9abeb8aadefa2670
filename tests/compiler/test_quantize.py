"""Calibration from a stream, and int8 that is the same each time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_compiler.arrays import Array
from limosa_compiler.calibrate import RangeTable, TensorRange, calibrate, cut_tails
from limosa_compiler.candidate import candidate
from limosa_compiler.ingest import INGEST
from limosa_compiler.passes import Context, run_passes
from limosa_compiler.prepare import PREPARE
from limosa_compiler.quantize import ladder, static_int8
from limosa_compiler.runner import Runner
from limosa_devices.demo.motion import asset, load
from tests.compiler.graphs import classifier, rows


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    context = Context(where="m", source_bytes=0)
    result, _ = run_passes(model, (*INGEST, *PREPARE), context, on_pass=lambda report: None)
    return result


def calibrated(model: onnx.ModelProto, x: Array, *, batch: int) -> RangeTable:
    def stream() -> Iterator[dict[str, Array]]:
        for begin in range(0, len(x), batch):
            yield {"x": x[begin : begin + batch]}

    return calibrate(model, stream, share=0.999)


def test_ranges_are_the_extremes_of_every_activation() -> None:
    x = rows(200)["x"]
    table = calibrated(prepared(classifier()), x, batch=64)
    assert table.minmax["x"] == TensorRange(low=float(x.min()), high=float(x.max()))
    assert table.minmax["scores"].low >= 0.0
    assert table.minmax["scores"].high <= 1.0
    assert set(table.minmax) == set(table.percentile) >= {"x", "hidden", "positive", "logits", "scores"}


def test_ranges_do_not_depend_on_how_rows_come_in_batches() -> None:
    model, x = prepared(classifier()), rows(130)["x"]
    one, many = (calibrated(model, x, batch=batch) for batch in (130, 7))
    assert one.minmax["x"] == many.minmax["x"]
    assert one.percentile["x"] == many.percentile["x"]


def test_outlier_is_cut_by_the_percentile_and_kept_by_minmax() -> None:
    x = rows(4000)["x"]
    x[0, 0] = 1000
    table = calibrated(prepared(classifier()), x, batch=64)
    assert table.minmax["x"].high == 1000
    assert table.percentile["x"].high < 10


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


def test_candidates_are_the_same_bytes_each_time() -> None:
    def made() -> list[tuple[str, str]]:
        model = prepared(classifier(bias_rank=2))
        table = calibrated(model, rows(200)["x"], batch=64)
        return [
            (name, candidate(name, "int8", static_int8(model, ranges, where="m")).digest)
            for name, ranges in ladder(table)
        ]

    first = made()
    assert [name for name, _ in first] == ["int8-minmax", "int8-p99.9"]
    assert first == made()


def test_weights_are_int8_per_channel_and_activations_uint8() -> None:
    model = prepared(onnx.load_from_string(asset("motion-2.0.0.onnx")))
    window = load("calibration").window
    table = calibrate(model, lambda: [{"window": window}], share=0.999)
    quantized = static_int8(model, table.minmax, where="m")
    types = {tensor.name: tensor for tensor in quantized.graph.initializer}
    weight = types["conv2.weight_quantized"]
    assert weight.data_type == onnx.TensorProto.INT8
    assert list(types["conv2.weight_scale"].dims) == [weight.dims[0]]
    assert types["relu1_zero_point"].data_type == onnx.TensorProto.UINT8
    onnx.checker.check_model(quantized)


def test_gemm_bias_of_two_dimensions_no_longer_breaks_quantization() -> None:
    """onnxruntime's quantizer fails on [1, N] per channel; ingest flattens it (compiler 3)."""
    model = prepared(classifier(bias_rank=2))
    table = calibrated(model, rows(200)["x"], batch=64)
    small = static_int8(model, table.minmax, where="m")
    data = rows(300, seed=9)
    scores = Runner(small.SerializeToString()).predict({"x": data["x"]})["scores"]
    assert (scores.argmax(axis=1) == data["label"]).mean() > 0.95


def test_structures_of_the_int8_candidates_are_equal_and_differ_from_fp32() -> None:
    model = prepared(classifier())
    table = calibrated(model, rows(200)["x"], batch=64)
    minmax, cut = (
        candidate(name, "int8", static_int8(model, ranges, where="m")) for name, ranges in ladder(table)
    )
    assert minmax.structure == cut.structure != candidate("fp32", "fp32", model).structure
    assert minmax.digest != cut.digest


def test_activation_that_is_never_finite_is_named() -> None:
    from limosa_compiler.errors import DataMismatch

    x = np.full((10, 4), np.inf, np.float32)
    with pytest.raises(DataMismatch) as refused:
        calibrated(prepared(classifier()), x, batch=5)
    assert refused.value.where == "x"
