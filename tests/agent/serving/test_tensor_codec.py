"""Tensors on the wire: what goes in comes out, and what does not fit is refused, never misread."""

from __future__ import annotations

import json
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from limosa_agent.serving.errors import BadInferRequest, InputDtype, InputRange, InputShape
from limosa_agent.serving.oip_json import TensorIn, parse_infer_request
from limosa_agent.serving.routes import Route, parse_route
from limosa_agent.serving.tensor_codec import NUMPY, arrays_of, from_binary, from_json, to_binary, to_json
from limosa_contracts.errors import RequestError

NUMBERS = tuple(name for name in NUMPY if name != "BYTES")
REFUSALS = (BadInferRequest, InputDtype, InputRange, InputShape)

arrays = st.sampled_from(NUMBERS).flatmap(
    lambda name: hnp.arrays(
        NUMPY[name],
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
        elements=st.booleans()
        if name == "BOOL"
        else hnp.from_dtype(NUMPY[name], allow_nan=False, allow_infinity=False),
    ).map(lambda array: (name, array))
)


@given(arrays)
def test_binary_tensor_comes_back_bit_by_bit(case: tuple[str, npt.NDArray[np.generic]]) -> None:
    name, array = case
    raw = to_binary(array)
    back = from_binary(TensorIn("x", name, array.shape, None, len(raw)), memoryview(raw))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


@given(arrays)
def test_json_tensor_comes_back_equal(case: tuple[str, npt.NDArray[np.generic]]) -> None:
    name, array = case
    data = json.loads(json.dumps(to_json(array)))
    back = from_json(TensorIn("x", name, array.shape, data, None))
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_texts_come_back(texts: list[str]) -> None:
    raw = to_binary(np.array(texts, object))
    back = from_binary(TensorIn("x", "BYTES", (len(texts),), None, len(raw)), memoryview(raw))
    assert back.tolist() == texts
    assert from_json(TensorIn("x", "BYTES", (len(texts),), list(texts), None)).tolist() == texts


@given(
    st.sampled_from(tuple(NUMPY)),
    st.lists(st.integers(0, 2**40), max_size=8),
    st.binary(max_size=200),
)
def test_any_bytes_under_any_claim_are_refused_or_fit(name: str, shape: list[int], raw: bytes) -> None:
    tensor = TensorIn("x", name, tuple(shape), None, len(raw))
    with suppress(*REFUSALS):
        array = arrays_of((tensor,), memoryview(raw))["x"]
        assert array.size == tensor.elements <= max(1, len(raw))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.sampled_from(tuple(NUMPY)), st.lists(st.integers(0, 4), max_size=3), st.lists(json_values, max_size=5)
)
def test_any_json_data_is_refused_or_fits(name: str, shape: list[int], data: list[object]) -> None:
    tensor = TensorIn("x", name, tuple(shape), data, None)  # type: ignore[arg-type]  # hostile on purpose
    with suppress(*REFUSALS):
        array = from_json(tensor)
        assert array.shape == tuple(shape)
        assert array.dtype == NUMPY[name]


tensor_items = st.dictionaries(
    st.sampled_from(["name", "datatype", "shape", "data", "parameters"]), json_values
)


@given(json_values | st.binary(max_size=100))
def test_any_request_is_parsed_or_refused(value: object) -> None:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    with suppress(BadInferRequest):
        parse_infer_request(data)


@given(
    st.fixed_dictionaries(
        {"inputs": st.lists(tensor_items, max_size=3)},
        optional={"outputs": json_values, "parameters": json_values, "id": json_values},
    )
)
def test_any_request_of_the_right_outline_is_parsed_or_refused(value: dict[str, object]) -> None:
    with suppress(BadInferRequest):
        parse_infer_request(json.dumps(value).encode())


@given(st.binary(max_size=60).map(lambda tail: b"/v2/models/" + tail))
def test_any_path_is_a_route_or_not_found(target: bytes) -> None:
    with suppress(RequestError):
        assert isinstance(parse_route(target), Route)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("INT8", [128]),
        ("UINT8", [-1]),
        ("UINT64", [2**64]),
        ("FP16", [70000.0]),
        ("INT32", [1.5]),
        ("FP32", [True]),
    ],
)
def test_values_that_a_type_cannot_hold_are_refused(name: str, data: list[int]) -> None:
    with pytest.raises((InputRange, InputDtype)):
        from_json(TensorIn("x", name, (1,), data, None))


@pytest.mark.parametrize(
    ("name", "data"),
    [("UINT64", [0, 2**63]), ("UINT64", [2**64 - 1]), ("FP64", [2**70, 0.5]), ("INT64", [-(2**63)])],
)
def test_large_integers_come_back_exactly(name: str, data: list[int]) -> None:
    assert from_json(TensorIn("x", name, (len(data),), data, None)).tolist() == data


def test_not_a_number_goes_out_as_null() -> None:
    assert to_json(np.array([1.5, np.nan, -np.inf], np.float32)) == [1.5, None, None]
