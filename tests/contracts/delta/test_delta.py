"""Deltas: what comes out is what went in, to the bit, and small."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from limosa_contracts.delta.applying import apply_delta
from limosa_contracts.delta.errors import DeltaRefused
from limosa_contracts.delta.limits import SEGMENT_BYTES, DeltaLimits
from limosa_contracts.delta.making import make_delta
from limosa_contracts.delta.onnx_layout import find_in_onnx
from limosa_contracts.delta.symbols import Frames, encode_symbols, read_symbols
from limosa_contracts.delta.varints import VarintReader
from limosa_contracts.delta.wire import DeltaHead
from limosa_contracts.varints import encode_varints
from tests.contracts.delta.models import quantized_model


def codec_of(delta: bytes) -> str:
    return DeltaHead.parse(delta, DeltaLimits()).codec_name


@pytest.mark.parametrize("axis", [0, 1])
def test_retrained_quantized_model_comes_as_residuals(axis: int) -> None:
    base, new = quantized_model(axis=axis), quantized_model(axis=axis, moved=0.0005)
    delta = make_delta(base, new)
    assert delta is not None
    assert codec_of(delta) == "tensor"
    assert apply_delta(base, delta) == new
    assert len(delta) < 0.45 * len(new)


def test_the_same_model_is_next_to_nothing() -> None:
    base = quantized_model(rows=200)
    delta = make_delta(base, base)
    assert delta is not None
    assert len(delta) < 200
    assert apply_delta(base, delta) == base


def test_equal_inputs_make_equal_deltas() -> None:
    base, new = quantized_model(), quantized_model(moved=0.001)
    assert make_delta(base, new) == make_delta(base, new)


def test_model_of_another_shape_still_shares_what_it_shares() -> None:
    base, new = quantized_model(rows=48), quantized_model(rows=64)
    delta = make_delta(base, new)
    assert delta is None or apply_delta(base, delta) == new


def test_what_has_nothing_in_common_is_no_delta() -> None:
    rng = np.random.default_rng(5)
    assert make_delta(rng.bytes(5000), rng.bytes(5000)) is None


def test_rest_of_several_segments_is_patched_segment_by_segment() -> None:
    rng = np.random.default_rng(6)
    base = rng.bytes(2 * SEGMENT_BYTES + 1234)
    new = bytearray(base)
    for place in range(0, len(new), 70_001):
        new[place] ^= 0xFF
    new[5000:5000] = b"inserted"
    delta = make_delta(base, bytes(new))
    assert delta is not None
    assert codec_of(delta) == "zstd-patch"
    assert len(delta) < 0.01 * len(new)
    assert apply_delta(base, delta) == new


def test_tensors_are_found_without_the_onnx_package() -> None:
    blob = quantized_model()
    found = find_in_onnx(blob)
    names = {tensor.name: tensor for tensor in found.tensors}
    assert names["w_q"].shape == (48, 96)
    assert names["half"].kind == "f16"
    assert found.quantized["w_q"].scale == "w_scale"
    scale = names["w_scale"]
    assert np.frombuffer(blob[scale.start : scale.stop], "<f4").min() > 0


@given(st.binary(max_size=400))
def test_any_bytes_are_looked_at_for_tensors(data: bytes) -> None:
    for tensor in find_in_onnx(data).tensors:
        assert 0 <= tensor.start < tensor.stop <= len(data)


@settings(max_examples=60)
@given(st.binary(max_size=3000), st.binary(max_size=3000), st.binary(max_size=300))
@example(b"", b"", b"")
def test_any_two_blobs_come_back(common: bytes, other: bytes, inserted: bytes) -> None:
    base, new = common + other, common + inserted + other
    delta = make_delta(base, new)
    if delta is not None:
        assert apply_delta(base, delta) == new
        assert len(delta) < len(new)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([1e-6, 1e-4, 1e-2, 1.0]), st.sampled_from([0, 1]))
def test_any_training_comes_back(seed: int, moved: float, axis: int) -> None:
    base = quantized_model(seed=seed, axis=axis, rows=20)
    new = quantized_model(seed=seed, axis=axis, rows=20, moved=moved)
    delta = make_delta(base, new)
    assert delta is None or apply_delta(base, delta) == new


@settings(max_examples=60)
@given(st.floats(0, 1), st.integers(1, 255), st.integers(0, 5000), st.integers(0, 2**32), st.integers(1, 700))
@example(0.999, 1, 5000, 1, 700)  # long gaps
@example(0.0, 255, 500, 1, 700)
def test_any_symbols_come_back_in_pieces_of_any_size(
    zeros: float, high: int, count: int, seed: int, piece: int
) -> None:
    rng = np.random.default_rng(seed)
    symbols = np.where(rng.random(count) < zeros, 0, rng.integers(0, high + 1, count)).astype(np.uint8)
    coded = encode_symbols(symbols)
    numbers = VarintReader(encode_varints(coded.numbers))
    frames = Frames(memoryview(b"".join(coded.frames)))
    source = read_symbols(numbers, frames, count=count)
    parts = [source.read(min(piece, count - start)) for start in range(0, count, piece)]
    source.end()
    numbers.end()
    frames.end()
    assert np.array_equal(np.concatenate([*parts, np.empty(0, np.uint8)]), symbols)


def test_packed_symbols_come_near_their_entropy() -> None:
    rng = np.random.default_rng(3)
    for zeros in (0.5, 0.8, 0.95, 0.99):
        signs = rng.integers(1, 3, 200_000)
        symbols = np.where(rng.random(200_000) < zeros, 0, signs).astype(np.uint8)
        share = np.bincount(symbols) / len(symbols)
        entropy = -(share * np.log2(share)).sum() * len(symbols) / 8
        assert encode_symbols(symbols).size < 1.07 * entropy


@given(st.lists(st.integers(0, 2**62 - 1)))
def test_any_numbers_come_back(values: list[int]) -> None:
    reader = VarintReader(encode_varints(values))
    assert [reader.take() for _ in values] == values
    reader.end()


@pytest.mark.parametrize("text", ["80", "8000", "ffffffffffffffffff01", ""])
def test_number_that_is_cut_off_or_spelled_otherwise_is_refused(text: str) -> None:
    with pytest.raises(DeltaRefused):
        VarintReader(bytes.fromhex(text)).take()
