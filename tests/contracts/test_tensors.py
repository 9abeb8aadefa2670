"""The tensor file of golden vectors, in the safetensors layout."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidArtifact
from limosa_contracts.tensors import DTYPE_BYTES, RawTensor, encode_tensors, parse_tensors

GOLDEN = Path(__file__).parent / "golden" / "golden-1.safetensors"


@st.composite
def raw_tensors(draw: st.DrawFn) -> RawTensor:
    dtype = draw(st.sampled_from(sorted(DTYPE_BYTES)))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    size = DTYPE_BYTES[dtype]
    for dim in shape:
        size *= dim
    return RawTensor(dtype, shape, draw(st.binary(min_size=size, max_size=size)))


def file_of(header: object, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def test_version_1_reads_and_writes_the_same_bytes() -> None:
    data = GOLDEN.read_bytes()
    tensors, metadata = parse_tensors(data)
    assert bytes(tensors["input.x"].data) == bytes([1, 2, 255])
    assert struct.unpack("<2f", tensors["output.y"].data) == (0.25, 0.75)
    assert encode_tensors(tensors, metadata) == data


@given(st.dictionaries(st.text("abc.", min_size=1, max_size=4), raw_tensors(), max_size=4))
def test_any_tensors_come_back_and_order_does_not_matter(tensors: dict[str, RawTensor]) -> None:
    data = encode_tensors(tensors, {})
    assert data == encode_tensors(dict(reversed(list(tensors.items()))), {})
    back, _ = parse_tensors(data)
    assert {name: (t.dtype, t.shape, bytes(t.data)) for name, t in back.items()} == {
        name: (t.dtype, t.shape, t.data) for name, t in tensors.items()
    }


@given(st.binary(max_size=200))
def test_any_bytes_are_tensors_or_refused(data: bytes) -> None:
    try:
        tensors, metadata = parse_tensors(data)
    except InvalidArtifact:
        return
    assert parse_tensors(encode_tensors(tensors, metadata))


@pytest.mark.parametrize(
    "header, body",
    [
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}, b"12345678"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"1234extra"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"12345678"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 400]}}, b"1234"),
        ({"a": {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]}}, b"12345678"),
        (
            {
                "a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
                "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]},
            },
            b"123456",
        ),
        ({"a": {"dtype": "U8", "shape": [2**40, 2**40], "data_offsets": [0, 1]}}, b"1"),
        ([], b""),
    ],
)
def test_file_whose_parts_do_not_fit_exactly_is_refused(header: object, body: bytes) -> None:
    with pytest.raises(InvalidArtifact):
        parse_tensors(file_of(header, body))


def test_header_longer_than_the_file_is_refused() -> None:
    with pytest.raises(InvalidArtifact):
        parse_tensors(struct.pack("<Q", 2**60) + b"{}")
