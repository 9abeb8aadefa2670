"""Strict JSON in, one way of JSON out."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.canonical import encode_canonical, parse_json, parse_object
from limosa_contracts.errors import InvalidJson, RequestError, TooLarge
from limosa_contracts.json_value import JsonValue

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | TEXT
FINITE = SCALARS.filter(lambda value: value not in (float("inf"), float("-inf")))
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    FINITE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_encoded_is_parsed_back_and_encodes_to_the_same_bytes(value: JsonValue) -> None:
    data = encode_canonical(value)
    parsed = parse_json(data)
    assert parsed == value
    assert encode_canonical(parsed) == data


@given(st.dictionaries(TEXT, FINITE, min_size=2, max_size=6))
def test_order_of_keys_does_not_change_the_bytes(value: dict[str, JsonValue]) -> None:
    assert encode_canonical(dict(reversed(value.items()))) == encode_canonical(value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_coded_error(data: bytes) -> None:
    try:
        parse_json(data)
    except RequestError as error:
        assert error.code in ("LM-411", "LM-412")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": {"b": 1, "b": 1}}', "twice"),
        (b'{"a": NaN}', "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[-Infinity]", "-Infinity"),
        (b'{"a": 1', "delimiter"),
        (b"", "Expecting value"),
        (b'"\xff"', "utf-8"),
        (b"1" * 5000, "digits"),
    ],
)
def test_json_that_others_accept_and_we_do_not(data: bytes, why: str) -> None:
    with pytest.raises(InvalidJson) as refused:
        parse_json(data, what="offer")
    assert why in refused.value.why
    assert refused.value.where == "offer"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_does_not_have_is_not_written(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        encode_canonical({"x": value})


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_document_nested_deeper_than_the_limit_is_refused_before_it_is_parsed(opening: bytes) -> None:
    with pytest.raises(InvalidJson, match="nested too deeply"):
        parse_json(opening * 100_000)


def test_nesting_at_the_limit_is_fine_and_brackets_in_text_do_not_count() -> None:
    assert parse_json(b"[" * 16 + b"]" * 16)
    text = '\\"' + "[{" * 50
    assert parse_json(json.dumps([text, text]).encode()) == [text, text]


def test_one_byte_over_the_limit_is_too_large() -> None:
    assert parse_json(b'"abc"', max_bytes=5) == "abc"
    with pytest.raises(TooLarge) as refused:
        parse_json(b'"abcd"', max_bytes=5)
    assert refused.value.http_status == 413


@pytest.mark.parametrize("data", [b"[]", b"1", b"null", b'"{}"'])
def test_document_that_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidJson, match="not a JSON object"):
        parse_object(data)
    assert isinstance(parse_object(b"{}"), Mapping)
