"""baseline.json: what decides into which bin a value falls, decides its id (telemetry 2.2)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from limosa_contracts.baseline import Baseline
from limosa_contracts.canonical import encode_canonical
from limosa_contracts.errors import InvalidField

GOLDEN = Path(__file__).parent / "golden" / "baseline-1.json"


def test_version_1_reads_and_writes_the_same_bytes_and_keeps_its_id() -> None:
    data = GOLDEN.read_bytes()
    baseline = Baseline.parse(data)
    assert baseline.encode() == data
    assert baseline.extra == {"from_a_newer_compiler": 1}
    assert baseline.baseline_id == "b3e1b6ad2282638b"


def test_id_follows_the_edges_and_not_the_counts() -> None:
    baseline = Baseline.parse(GOLDEN.read_bytes())
    (feature,) = baseline.features
    counted = replace(baseline, features=(replace(feature, counts=(5,) * 32, mean=9.0),), rows=1)
    assert counted.baseline_id == baseline.baseline_id
    for other in (replace(feature, high=4.0), replace(feature, transform="none"), replace(feature, name="b")):
        assert replace(baseline, features=(other,)).baseline_id != baseline.baseline_id


@pytest.mark.parametrize(
    "change",
    [
        {"edges": [1] * 30},
        {"counts": [1] * 31},
        {"edges": [*range(30), 0]},
        {"edges": [*range(30), 257]},
        {"high": -3.0},
        {"std": -1.0},
        {"transform": "log"},
    ],
)
def test_feature_that_cannot_be_binned_is_refused(change: dict[str, Any]) -> None:
    document = json.loads(GOLDEN.read_bytes())
    document["features"][0] |= change
    with pytest.raises(InvalidField):
        Baseline.parse(encode_canonical(document))


@pytest.mark.parametrize("pairs", [[[1]], [[1, "2"]], ["12"]])
def test_confidence_bin_that_is_no_pair_is_refused(pairs: list[Any]) -> None:
    document = json.loads(GOLDEN.read_bytes()) | {"confidence": pairs}
    with pytest.raises(InvalidField):
        Baseline.parse(encode_canonical(document))
