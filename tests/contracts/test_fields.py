"""Typed fields: each error names the exact place, unknown fields survive."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
READERS: dict[str, Callable[[Fields, str], object]] = {
    "text": lambda fields, name: fields.text(name),
    "integer": lambda fields, name: fields.integer(name, low=0, high=9),
    "number": lambda fields, name: fields.number(name, low=0, high=1),
    "boolean": lambda fields, name: fields.boolean(name),
    "object": lambda fields, name: fields.object(name),
    "items": lambda fields, name: fields.items(name, max_items=2),
    "texts": lambda fields, name: fields.texts(name),
    "integers": lambda fields, name: fields.integers(name),
    "text_map": lambda fields, name: fields.text_map(name),
    "choice": lambda fields, name: fields.choice(name, ("a", "b")),
    "fields": lambda fields, name: fields.fields(name),
}


@given(value=VALUES, kind=st.sampled_from(sorted(READERS)))
def test_every_reader_takes_a_value_or_names_the_place(value: JsonValue, kind: str) -> None:
    fields = Fields({"x": value}, where="doc")
    try:
        READERS[kind](fields, "x")
    except InvalidField as error:
        assert error.where.startswith("doc.x")


@pytest.mark.parametrize("kind", sorted(READERS))
def test_missing_field_is_named(kind: str) -> None:
    with pytest.raises(InvalidField, match="'x' is missing") as refused:
        READERS[kind](Fields({}, where="rollout.gate"), "x")
    assert refused.value.where == "rollout.gate.x"


def test_a_key_that_may_have_been_meant_is_named() -> None:
    with pytest.raises(InvalidField, match="'name' is missing") as refused:
        Fields({"nmae": "a", "version": "1"}, where="").text("name")
    assert refused.value.hint == "is 'nmae' meant to be 'name'?"


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("text", 1, "text is needed, got a number"),
        ("text", "", "empty"),
        ("text", "a" * 4097, "4097 characters"),
        ("integer", True, "got a boolean"),
        ("integer", 10, "outside 0 to 9"),
        ("integer", 1.0, "whole number"),
        ("number", float("nan"), "outside"),
        ("number", False, "got a boolean"),
        ("boolean", 0, "true or false"),
        ("object", [], "got a list"),
        ("items", [1, 2, 3], "at most 2"),
        ("text_map", {"a": 1}, "short text"),
        ("choice", "c", "none of a, b"),
    ],
)
def test_wrong_value_is_refused_with_a_reason(kind: str, value: JsonValue, why: str) -> None:
    with pytest.raises(InvalidField) as refused:
        READERS[kind](Fields({"x": value}, where="doc"), "x")
    assert why in refused.value.why


def test_element_of_a_list_is_named_by_its_position() -> None:
    with pytest.raises(InvalidField) as refused:
        Fields({"waves": ["a", 2]}, where="rollout").texts("waves")
    assert refused.value.where == "rollout.waves[1]"


def test_pattern_must_match_all_of_the_text() -> None:
    with pytest.raises(InvalidField):
        Fields({"name": "abc\n"}, where="").text("name", pattern=re.compile("[a-z]+"))


def test_document_that_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidField, match="an object is needed"):
        Fields([1], where="doc")


def test_null_counts_as_absent_for_an_optional_field() -> None:
    fields = Fields({"a": None}, where="doc")
    assert fields.optional("a", fields.text, "default") == "default"
    assert fields.maybe("a", fields.text) is None
    assert fields.maybe("b", fields.text) is None


def test_unknown_fields_are_kept_for_a_newer_version() -> None:
    fields = Fields({"known": "a", "later": {"x": 1}}, where="doc")
    fields.text("known")
    assert fields.rest() == {"later": {"x": 1}}


def test_unknown_key_in_what_a_person_wrote_names_the_nearest() -> None:
    fields = Fields({"treshold": 1}, where="gate")
    fields.optional("threshold", fields.number, 0.0)
    with pytest.raises(InvalidField) as refused:
        fields.refuse_rest()
    assert refused.value.where == "gate.treshold"
    assert "'threshold'" in refused.value.hint


def test_schema_of_another_version_is_refused() -> None:
    Fields({"schema": "limosa.desired/1"}, where="desired").schema("limosa.desired/1")
    with pytest.raises(InvalidField, match="schema"):
        Fields({"schema": "limosa.desired/2"}, where="desired").schema("limosa.desired/1")
