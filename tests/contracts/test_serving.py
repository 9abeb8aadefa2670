"""serving.json: version 1 is read as long as there are artifacts of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.errors import InvalidField
from limosa_contracts.serving import CHANNELS_LAST, Serving

GOLDEN = Path(__file__).parent / "golden" / "serving-1.json"
LATER = GOLDEN.with_name("serving-1-later.json")  # of the same version, with what was added to it

CATEGORIES = GOLDEN.with_name("serving-1-categories.json")  # the same, with a text input of known values


def changed(change: dict[str, Any]) -> bytes:
    return encode_canonical({**json.loads(GOLDEN.read_bytes()), **change})


def test_version_1_reads_and_writes_the_same_bytes_unknown_fields_too() -> None:
    data = GOLDEN.read_bytes()
    serving = Serving.parse(data)
    assert serving.encode() == data
    assert serving.extra == {"from_a_newer_compiler": {"kept": True}}
    assert serving.inputs[0].extra == {"unit": "g"}
    assert (serving.inputs[0].low, serving.inputs[0].shape) == (-50.0, (-1, 6, 100))


def test_what_was_added_later_reads_and_writes_the_same_bytes() -> None:
    data = LATER.read_bytes()
    serving = Serving.parse(data)
    assert serving.encode() == data
    assert serving.features[0].axis == CHANNELS_LAST
    assert (serving.golden.absolute_of("probabilities"), serving.golden.absolute_of("h_next")) == (
        0.001,
        0.03,
    )
    assert serving.extra == {"states": [{"input": "h", "output": "h_next"}]}


def test_what_was_added_later_is_left_out_where_there_is_nothing_to_say() -> None:
    said = json.loads(Serving.parse(GOLDEN.read_bytes()).encode())
    assert "outputs" not in said["golden"]
    assert not any("axis" in feature for feature in said["features"])


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "limosa.serving/2"},
        {"inputs": []},
        {"probabilities": "logits"},
        {"model": "motion"},
        {"version": "1"},
        {"task": "guessing"},
        {"features": [{"name": "f", "kind": "input", "tensor": "ghost", "channel": 0, "reduce": "mean"}]},
        {"golden": {"cases": 0, "absolute": 0.1, "relative": 0.1}},
        {"golden": {"cases": 1, "absolute": 0.1, "relative": 2}},
        {"golden": {"cases": 1, "absolute": 0.1, "relative": 0.1, "outputs": {"probabilities": -1}}},
        {
            "features": [
                {"name": "f", "kind": "input", "tensor": "window", "channel": 0, "reduce": "mean", "axis": 0}
            ]
        },
        {"classes": ["a", 2]},
    ],
)
def test_document_whose_parts_do_not_agree_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidField):
        Serving.parse(changed(change))


def test_feature_that_occurs_twice_is_refused() -> None:
    twice = json.loads(GOLDEN.read_bytes())["features"][:1] * 2
    with pytest.raises(InvalidField, match="twice"):
        Serving.parse(changed({"features": twice}))


def test_categories_of_a_text_input_read_and_write_the_same_bytes() -> None:
    data = CATEGORIES.read_bytes()
    serving = Serving.parse(data)
    assert serving.encode() == data
    assert [spec.categories for spec in serving.inputs][-1] == ("cold", "hot")


def test_categories_of_numbers_are_refused() -> None:
    value = json.loads(CATEGORIES.read_bytes())
    value["inputs"][-1]["dtype"] = "INT64"
    with pytest.raises(InvalidField, match="only texts have categories"):
        Serving.parse(encode_canonical(value))
