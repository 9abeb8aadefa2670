"""A telemetry window: exact over the wire, small, and hostile streams are refused (telemetry 3)."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidField
from limosa_contracts.window import UNPACKED_MAX_BYTES, Sketch, Window, empty_sketch, pack, skim, unpack

GOLDEN = Path(__file__).parent / "golden" / "window-1.json"
GOLDEN_MEMORY = GOLDEN.with_name("window-1-memory.json")
COUNTS = st.integers(0, 2**40)
FLOATS = st.floats(allow_nan=False, width=64)


@st.composite
def sketches(draw: st.DrawFn) -> Sketch:
    features = draw(st.integers(0, 4))
    classes = draw(st.integers(0, 6))

    def many(of: st.SearchStrategy[int], size: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(of, min_size=size, max_size=size)))

    return Sketch(
        bins=tuple(many(COUNTS, 32) for _ in range(features)),
        missing=many(COUNTS, features),
        sums=tuple(draw(st.lists(FLOATS, min_size=features, max_size=features))),
        squares=tuple(draw(st.lists(FLOATS, min_size=features, max_size=features))),
        classes=many(COUNTS, classes),
        confidence=many(COUNTS, 10),
        latency=many(COUNTS, 32),
    )


def test_version_1_reads_back_as_it_was_written() -> None:
    window = Window.parse(GOLDEN.read_bytes())
    assert window.key == ("dev-1", "b1", 3, window.baseline, "0123456789abcdef")
    assert window.sketch.bins == ((2,) * 32,)
    assert window.counters == {"errors": 1, "inferences": 64}
    assert window.extra == {"from_a_newer_agent": "kept"}
    assert Window.parse(window.encode()) == window


def test_memory_is_told_by_those_that_know_it_and_asked_of_nobody() -> None:
    data = GOLDEN_MEMORY.read_bytes()
    window = Window.parse(data)
    assert window.memory_bytes == 73_400_320
    assert window.encode() == data
    assert Window.parse(GOLDEN.read_bytes()).memory_bytes == 0


@given(sketches())
def test_counts_and_moments_survive_packing_exactly(sketch: Sketch) -> None:
    assert unpack(pack(sketch)) == sketch


@given(st.binary(max_size=300))
def test_any_bytes_are_a_sketch_or_refused(data: bytes) -> None:
    try:
        sketch = unpack(data)
    except InvalidField:
        return
    assert unpack(pack(sketch)) == sketch


def skimmed(sketch: Sketch) -> Sketch:
    """What is left of it when it is only skimmed."""
    nothing = empty_sketch(bins=(), classes=0)
    return replace(nothing, classes=sketch.classes, latency=sketch.latency)


def deflated(body: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    return packer.compress(body) + packer.flush()


@given(st.lists(st.integers(0, 300), max_size=90) | st.lists(st.integers(0, 2**70), max_size=40), st.data())
def test_skimming_refuses_what_unpacking_refuses(numbers: list[int], data: st.DataObject) -> None:
    """Rows of any numbers, also with counts below zero, too large, or cut."""
    head = [1, data.draw(st.integers(0, 2)), 2, 1, 3]
    body = b"".join(leb128(number) for number in [*head, *numbers]) + bytes(data.draw(st.integers(0, 40)))
    try:
        sketch = unpack(deflated(body))
    except InvalidField as refused:
        with pytest.raises(InvalidField) as also:
            skim(deflated(body))
        assert str(also.value) == str(refused)
    else:
        assert skim(deflated(body)) == skimmed(sketch)


@given(st.integers(0, 70), st.lists(st.integers(0, 200), min_size=1, max_size=12))
def test_one_row_of_residuals_is_judged_alike(mean: int, residuals: list[int]) -> None:
    numbers = [1, 1, 0, 0, 0, len(residuals), mean, *residuals, 0]
    packed = deflated(b"".join(leb128(number) for number in numbers) + bytes(16))
    try:
        unpack(packed)
    except InvalidField:
        with pytest.raises(InvalidField):
            skim(packed)
    else:
        skim(packed)


@given(sketches())
def test_skimming_gives_latency_and_classes(sketch: Sketch) -> None:
    assert skim(pack(sketch)) == skimmed(sketch)


def leb128(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


@given(sketches(), st.data())
def test_cut_stream_is_refused(sketch: Sketch, data: st.DataObject) -> None:
    packed = pack(sketch)
    keep = data.draw(st.integers(0, len(packed) - 1))
    for read in (unpack, skim):
        with pytest.raises(InvalidField):
            read(packed[:keep])


def test_stream_that_would_grow_to_megabytes_is_refused() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(bytes(UNPACKED_MAX_BYTES * 20)) + packer.flush()
    assert len(bomb) < 20_000
    for read in (unpack, skim):
        with pytest.raises(InvalidField, match="too large"):
            read(bomb)


def test_sixty_four_features_fit_the_promised_size() -> None:
    sketch = empty_sketch(bins=[32] * 64, classes=10)
    busy = Sketch(
        bins=tuple(tuple(600 + (i * 7 + j * 3) % 25 for j in range(32)) for i in range(64)),
        missing=sketch.missing,
        sums=tuple(float(i) for i in range(64)),
        squares=tuple(float(i) for i in range(64)),
        classes=sketch.classes,
        confidence=sketch.confidence,
        latency=sketch.latency,
    )
    assert len(pack(busy)) < 5 * 1024
