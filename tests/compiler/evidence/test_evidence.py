"""Evidence: what an earlier version wrote is read by this one, and what is optional may be left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from limosa_compiler.evidence.evidence import Evidence
from limosa_compiler.evidence.parts import (
    Confused,
    FeatureImportance,
    Mistakes,
    NodeSensitivity,
    RangeSummary,
    WorstRow,
)
from limosa_contracts.errors import InvalidField

OLD = Path(__file__).parents[1] / "golden" / "evidence-1.json"


def full() -> Evidence:
    """The old document with every optional part."""
    return replace(
        Evidence.parse(OLD.read_bytes()),
        lineage={"run": "2026-11-20-a"},
        sensitivity=(NodeSensitivity(name="conv_1", op_type="Conv", sqnr_db=12.5, float_in_choice=True),),
        ranges=(RangeSummary(tensor="relu", low=0.0, high=90.0, kept_low=0.0, kept_high=4.5),),
        importance=(FeatureImportance(input="x", feature="ax", points=4.0, low_points=2.0, high_points=6.0),),
        mistakes=(
            Mistakes(
                candidate="fp32",
                classes=("rest", "walk"),
                pairs=(Confused(true="rest", said="walk", rows=3),),
                worst=(WorstRow(row=7, metric=0.0, note="rest, said walk"),),
            ),
        ),
    )


def test_evidence_of_the_first_version_is_read_and_written_as_it_was() -> None:
    data = OLD.read_bytes()
    old = Evidence.parse(data)
    assert old.encode() == data
    assert (old.sensitivity, old.ranges, old.importance, old.mistakes, old.lineage) == ((), (), (), (), {})


def test_every_optional_part_survives_writing_and_reading() -> None:
    assert Evidence.parse(full().encode()) == full()


def test_what_a_later_version_adds_is_kept() -> None:
    later = {**json.loads(full().encode()), "x-later": {"a": [1]}}
    kept = Evidence.parse(json.dumps(later).encode())
    assert json.loads(kept.encode())["x-later"] == {"a": [1]}


@pytest.mark.parametrize(
    "part, value",
    [
        ("sensitivity", [{"name": "", "op_type": "Conv", "sqnr_db": 1, "float_in_choice": True}]),
        ("ranges", [{"tensor": "t", "low": "0", "high": 1, "kept_low": 0, "kept_high": 1}]),
        ("importance", {"x": 1}),
        ("mistakes", [{"candidate": "fp32", "classes": [], "pairs": [{"true": "a"}], "worst": []}]),
        ("lineage", {"run": 7}),
    ],
)
def test_a_part_that_is_not_valid_is_named(part: str, value: object) -> None:
    document = {**json.loads(full().encode()), part: value}
    with pytest.raises(InvalidField) as refused:
        Evidence.parse(json.dumps(document).encode())
    assert part in str(refused.value.where)
