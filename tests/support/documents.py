"""Hypothesis strategies for what stands in documents."""

from __future__ import annotations

from hypothesis import strategies as st

from limosa_contracts.json_value import JsonObject, JsonValue

names = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?", fullmatch=True)
models = st.builds("{}/{}".format, names, names)
versions = st.from_regex(r"(0|[1-9][0-9]{0,4})(\.(0|[1-9][0-9]{0,4})){2}(-[0-9A-Za-z]{1,8})?", fullmatch=True)
sha256s = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
counters = st.integers(min_value=0, max_value=2**63 - 1)
seconds = st.floats(min_value=0, max_value=1e10, allow_nan=False)
short_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)

json_values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | short_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(short_texts, inner, max_size=3),
    max_leaves=6,
)
json_objects: st.SearchStrategy[JsonObject] = st.dictionaries(short_texts, json_values, max_size=3)
extras: st.SearchStrategy[JsonObject] = st.dictionaries(
    st.from_regex(r"x-[a-z]{1,8}", fullmatch=True), json_values, max_size=2
)
"""Fields that no version has had yet."""
