"""A request that looks like an earlier one is taken apart as if it were the first (agent 5.1)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.serving.errors import BadInferRequest
from limosa_agent.serving.known_requests import KEPT_MAX, KnownRequests
from limosa_agent.serving.oip_json import InferRequest, parse_infer_request
from limosa_agent.serving.tensor_codec import arrays_of
from limosa_contracts.errors import RequestError

SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
DATA = st.lists(NUMBERS, max_size=6) | st.lists(st.lists(NUMBERS, min_size=2, max_size=2), max_size=3)
ANY_DATA = DATA | st.lists(st.booleans() | st.none() | st.text(max_size=4), max_size=3)
DTYPES = st.sampled_from(["FP32", "FP64", "FP16", "INT64", "UINT64", "BOOL", "BYTES"])
IDS = st.text(max_size=8) | st.sampled_from(["17-3", 'a"data":[1]', "\\", "\0", '"data":[1,2]'])


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    inputs = []
    for i in range(draw(st.integers(1, 3))):
        data = draw(ANY_DATA)
        nested = bool(data) and isinstance(data[0], list) and draw(st.booleans())
        shape = [len(data), 2] if nested else [len(data)]
        tensor: dict[str, Any] = {"name": f"x{i}"}
        tensor["datatype"] = draw(DTYPES)
        tensor |= {"shape": shape, "data": data}
        if draw(st.booleans()):
            tensor["parameters"] = {"data": draw(DATA)}
        inputs.append(dict(sorted(tensor.items())) if draw(st.booleans()) else tensor)
    value: dict[str, Any] = {"inputs": inputs}
    if draw(st.booleans()):
        value = {"id": draw(IDS), **value} if draw(st.booleans()) else {**value, "id": draw(IDS)}
    if draw(st.booleans()):
        value["data"] = draw(DATA)
    return value


def outcome(parse: Callable[[bytes], InferRequest], text: bytes) -> object:
    """What it comes to: names, types and bytes, or the code of the refusal."""
    try:
        parsed = parse(text)
        arrays = arrays_of(parsed.inputs, memoryview(b""))
    except RequestError as error:
        return error.code
    values = {name: (str(array.dtype), array.shape, array.tolist()) for name, array in arrays.items()}
    return parsed.id, dict(parsed.outputs), parsed.binary_default, values


@given(st.lists(requests(), min_size=1, max_size=4), SEPARATORS)
def test_known_request_means_what_it_means_alone(
    values: list[dict[str, Any]], marks: tuple[str, str]
) -> None:
    known = KnownRequests()
    for value in (*values, *values):
        text = json.dumps(value, separators=marks).encode()
        assert outcome(known.parse, text) == outcome(parse_infer_request, text)


@given(requests(), st.binary(max_size=6), st.integers(0, 400), st.integers(0, 10))
def test_damaged_request_after_a_known_one_is_refused_as_it_would_be_alone(
    value: dict[str, Any], damage: bytes, at: int, length: int
) -> None:
    known = KnownRequests()
    text = json.dumps(value, separators=(",", ":")).encode()
    outcome(known.parse, text)
    outcome(known.parse, text)
    broken = text[: at % len(text)] + damage + text[at % len(text) + length :]
    assert outcome(known.parse, broken) == outcome(parse_infer_request, broken)


@pytest.mark.parametrize(
    "dtype, large", [("FP16", "65520"), ("FP32", "3.4028235677973366e+38"), ("FP32", "1e300")]
)
def test_value_too_large_for_its_type_in_a_known_request_is_no_infinity(dtype: str, large: str) -> None:
    known = KnownRequests()
    for value, comes_to in (("1.5", [1.5]), ("2.5", [2.5]), (large, "LM-555"), (f"-{large}", "LM-555")):
        text = f'{{"inputs":[{{"name":"x","datatype":"{dtype}","shape":[1],"data":[{value}]}}]}}'.encode()
        found = outcome(known.parse, text)
        assert found == comes_to or (isinstance(found, tuple) and found[3]["x"][2] == comes_to), found


def text_of(data: str, ident: str = "1") -> bytes:
    return (
        f'{{"id":"{ident}","inputs":[{{"name":"x","datatype":"FP32","shape":[2],"data":{data}}}]}}'.encode()
    )


@pytest.mark.parametrize(
    "data",
    [
        "[1,2,]",
        "[1 2]",
        "[01,2]",
        "[+1,2]",
        "[1e999,2]",
        "[1,2",
        "[1,2]]",
        "[.5,2]",
        "[1,,2]",
        "\0",
        "[[1],2]",
    ],
)
def test_numbers_that_are_no_json_are_refused_also_in_a_known_request(data: str) -> None:
    known = KnownRequests()
    known.parse(text_of("[1,2]"))
    with pytest.raises(RequestError):
        arrays_of(known.parse(text_of(data)).inputs, memoryview(b""))
    assert known.parse(text_of("[3,4]")).inputs[0].data == [3, 4]


def test_id_and_numbers_are_never_those_of_the_request_before() -> None:
    known = KnownRequests()
    for i in range(5):
        parsed = known.parse(text_of(f"[{i},{i + 1}]", ident=f"r{i}"))
        assert parsed.id == f"r{i}"
        assert arrays_of(parsed.inputs, memoryview(b""))["x"].tolist() == [i, i + 1]
    assert known.parse(b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]}]}').id == ""


def test_second_id_is_refused_also_in_a_known_request() -> None:
    known = KnownRequests()
    known.parse(text_of("[1,2]"))
    with pytest.raises(BadInferRequest):
        known.parse(text_of("[1,2]")[:-1] + b',"id":"2"}')


def test_client_that_never_says_the_same_twice_does_not_fill_the_memory() -> None:
    known = KnownRequests()
    for i in range(3 * KEPT_MAX):
        known.parse(f'{{"inputs":[{{"name":"x{i}","datatype":"FP32","shape":[1],"data":[1]}}]}}'.encode())
    assert len(known._known) <= KEPT_MAX
