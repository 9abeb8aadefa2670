"""Both sides of the pipe write and read the same bytes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from limosa_compiler.arrays import encode_arrays, parse_arrays
from limosa_compiler.litert.environment import wire

TYPES = [np.dtype(name) for name in wire.NAME_OF_TYPE]
ARRAYS = st.dictionaries(
    st.text("abcxyz/:. ", min_size=1, max_size=8),
    st.sampled_from(TYPES).flatmap(
        lambda kind: npst.arrays(kind, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=100, deadline=None)
@given(ARRAYS)
def test_what_one_side_writes_the_other_reads(arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    for got in (parse_arrays(wire.encode(arrays)), wire.decode(encode_arrays(arrays))):
        assert got.keys() == arrays.keys()
        for name, array in arrays.items():
            assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(got[name], array)


def test_message_is_a_line_and_its_bytes_and_an_end_is_an_end() -> None:
    stream = io.BytesIO()
    wire.write_message(stream, {"ask": "run"}, {"x": np.arange(3, dtype=np.int64)})
    wire.write_message(stream, {"ask": "load"}, {})
    stream.seek(0)
    first, second = wire.read_message(stream), wire.read_message(stream)
    assert first is not None
    assert second is not None
    assert (first[0]["ask"], first[1]["x"].tolist()) == ("run", [0, 1, 2])
    assert (second[0]["ask"], second[1]) == ("load", {})
    assert wire.read_message(stream) is None
