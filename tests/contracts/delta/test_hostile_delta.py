"""Deltas that lie: each is refused, none gives wrong bytes, none makes a device do much work."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from limosa_contracts.delta.applying import apply_delta
from limosa_contracts.delta.errors import DeltaRefused
from limosa_contracts.delta.limits import DeltaLimits
from limosa_contracts.delta.making import make_delta
from limosa_contracts.delta.wire import (
    COPY,
    HEAD_BYTES,
    MAGIC,
    SCALED,
    TENSOR,
    ZSTD_PATCH,
    DeltaHead,
    Grid,
    Span,
    encode_table,
)
from limosa_contracts.delta.zstd_frames import frame
from limosa_contracts.varints import encode_varints
from tests.contracts.delta.models import quantized_model

GOLDEN = Path(__file__).parents[1] / "golden" / "delta-1"
BASE = quantized_model()
NEW = quantized_model(moved=0.001)
DELTA = make_delta(BASE, NEW) or b""
NOISE = np.random.default_rng(2).bytes(900)
PATCH = make_delta(NOISE, NOISE[:800] + b"other" * 20) or b""


def container(table: bytes, frames: bytes = b"", *, base: bytes = b"x" * 100, result: bytes = b"x" * 100,
              codec: int = TENSOR) -> bytes:  # fmt: skip
    packed = frame(table)
    head = DeltaHead(
        codec=codec,
        base_bytes=len(base),
        base_sha256=hashlib.sha256(base).hexdigest(),
        result_bytes=len(result),
        result_sha256=hashlib.sha256(result).hexdigest(),
        table_packed=len(packed),
        table_bytes=len(table),
    )
    return head.encode() + packed + frames


def span(start: int, base_start: int, length: int, kind: int = COPY, grid: Grid | None = None) -> Span:
    return Span(kind=kind, start=start, base_start=base_start, length=length, grid=grid)


def refused(base: bytes, delta: bytes, limits: DeltaLimits | None = None) -> str:
    with pytest.raises(DeltaRefused) as error:
        apply_delta(base, delta, limits=limits)
    return error.value.why


def test_version_1_is_applied_as_it_was_agreed() -> None:
    base, new = (GOLDEN / "base.onnx").read_bytes(), (GOLDEN / "new.onnx").read_bytes()
    for name in ("tensor.limosadelta", "zstd-patch.limosadelta"):
        assert apply_delta(base, (GOLDEN / name).read_bytes()) == new


def test_a_span_that_is_honest_is_applied() -> None:
    assert apply_delta(b"x" * 100, container(encode_table([span(0, 0, 100)], []))) == b"x" * 100


@pytest.mark.parametrize(
    "table, why",
    [
        (encode_table([span(0, 0, 101)], []), "at most 100"),
        (encode_table([span(50, 0, 51)], []), "outside the result"),
        (encode_table([span(0, 60, 50)], []), "outside the base"),
        (encode_table([span(0, -10, 50)], []), "outside the base"),
        (encode_table([span(0, 0, 0)], []), "empty"),
        (encode_table([span(0, 0, 50), span(50, 40, 50)], []), "overlap"),
        (encode_table([span(0, 0, 50)], []), "another number of frames"),
        (encode_table([span(0, 0, 100)], [5]), "outside the delta"),
        (encode_table([span(0, 0, 100)], []) + b"\0", "bytes follow the table"),
        (encode_varints([0, 2, 0, 0, 0, 100]), "ends within a number"),
        (encode_varints([0, 1, 9, 0, 0, 100]), "at most 4"),
        (encode_table([span(0, 0, 99, SCALED, Grid(channels=7, inner=3, base_scales=0, scales=0))], []),
         "do not fit"),
        (encode_table([span(0, 0, 100, SCALED, Grid(channels=10, inner=10, base_scales=90, scales=0))], []),
         "outside a blob"),
        (encode_table([span(0, 0, 100, SCALED, Grid(channels=0, inner=10, base_scales=0, scales=0))], []),
         "do not fit"),
    ],
)  # fmt: skip
def test_table_that_lies_is_refused(table: bytes, why: str) -> None:
    assert why in refused(b"x" * 100, container(table))


@pytest.mark.parametrize(
    "bend, why",
    [
        (lambda d: b"OTHERMAG" + d[8:], "begin"),
        (lambda d: MAGIC + b"\2" + d[9:], "version 2"),
        (lambda d: MAGIC + b"\1\3" + d[10:], "codec 3"),
        (lambda d: d[:50], "cut off"),
        (lambda d: d[:-1], ""),
        (lambda d: d + b"\0", "bytes follow"),
        (lambda d: d[:HEAD_BYTES], ""),
        (lambda d: b"", "cut off"),
    ],
)
@pytest.mark.parametrize("whole", [DELTA, PATCH], ids=["tensor", "patch"])
def test_delta_that_was_bent_is_refused(bend: Callable[[bytes], bytes], why: str, whole: bytes) -> None:
    base = BASE if whole is DELTA else NOISE
    assert why in refused(base, bend(whole))


def test_delta_for_another_base_is_refused() -> None:
    assert "another base" in refused(NEW, DELTA)
    assert "another base" in refused(BASE + b"\0", DELTA)


def test_result_with_another_digest_is_refused() -> None:
    head = DeltaHead.parse(DELTA, DeltaLimits())
    lie = replace(head, result_sha256="0" * 64).encode() + DELTA[HEAD_BYTES:]
    assert "another digest" in refused(BASE, lie)


def test_patch_with_spans_is_refused() -> None:
    assert "no spans" in refused(b"x" * 100, container(encode_table([span(0, 0, 100)], []), codec=ZSTD_PATCH))


def test_sizes_beyond_the_limits_are_refused_before_anything_is_made() -> None:
    for limits in (
        DeltaLimits(result_max_bytes=len(NEW) - 1),
        DeltaLimits(base_max_bytes=len(BASE) - 1),
        DeltaLimits(working_max_bytes=1000),
        DeltaLimits(table_max_bytes=10),
        DeltaLimits(delta_max_bytes=len(DELTA) - 1),
    ):
        assert "at most" in refused(BASE, DELTA, limits)


def test_few_bytes_do_not_become_a_gigabyte() -> None:
    bomb = b"\0" * 1000
    head = DeltaHead(
        codec=ZSTD_PATCH,
        base_bytes=0,
        base_sha256=hashlib.sha256(b"").hexdigest(),
        result_bytes=2**30,
        result_sha256="0" * 64,
        table_packed=len(frame(encode_table([], [len(bomb)]))),
        table_bytes=len(encode_table([], [len(bomb)])),
    )
    tracemalloc.start()
    try:
        why = refused(b"", head.encode() + frame(encode_table([], [len(bomb)])) + bomb)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert "far more bytes" in why


def test_frame_that_holds_more_or_less_than_its_segment_is_refused() -> None:
    for size in (99, 101):
        body = zstd.compress(b"y" * size)
        delta = container(encode_table([], [len(body)]), body, result=b"y" * 100, base=b"", codec=ZSTD_PATCH)
        assert "than announced" in refused(b"", delta)


def test_frame_that_asks_for_a_large_window_is_refused() -> None:
    noise = np.random.default_rng(1).bytes(9 << 20)
    body = zstd.compress(noise, options={zstd.CompressionParameter.window_log: 24})
    delta = container(
        encode_table([], [len(body)]), body, base=b"", result=noise[: 2 << 20], codec=ZSTD_PATCH
    )
    assert "cannot be read" in refused(b"", delta)


@settings(max_examples=300)
@given(st.data())
def test_any_mutation_is_refused_or_changes_nothing(data: st.DataObject) -> None:
    mutant = bytearray(DELTA)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(mutant) - 1))
        way = data.draw(st.sampled_from(["flip", "cut", "insert", "repeat"]))
        if way == "flip":
            mutant[place] ^= data.draw(st.integers(1, 255))
        elif way == "cut":
            del mutant[place : place + data.draw(st.integers(1, 40))]
        elif way == "insert":
            mutant[place:place] = data.draw(st.binary(min_size=1, max_size=9))
        else:
            mutant[place:place] = mutant[place : place + 20]
        if not mutant:
            break
    try:
        result = apply_delta(BASE, bytes(mutant))
    except DeltaRefused:
        return
    assert result == NEW


@settings(max_examples=200)
@given(st.lists(st.integers(0, 2**40), max_size=40), st.binary(max_size=60))
def test_any_table_is_refused_or_gives_the_announced_digest(numbers: list[int], frames: bytes) -> None:
    try:
        result = apply_delta(b"x" * 100, container(encode_varints(numbers), frames))
    except DeltaRefused:
        return
    assert result == b"x" * 100
