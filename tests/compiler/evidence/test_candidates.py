"""What is measured of candidates, as it stands in the evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limosa_compiler.choice.choose import Standing
from limosa_compiler.evidence.evidence import Evidence
from limosa_contracts.errors import InvalidField

GOLDEN = Path(__file__).parents[1] / "golden" / "evidence-1-slices.json"


def test_evidence_with_slices_memory_and_promises_is_read_and_written_as_it_was() -> None:
    evidence = Evidence.parse(GOLDEN.read_bytes())
    assert evidence.encode() == GOLDEN.read_bytes()
    fp32 = evidence.candidate("fp32")
    assert fp32 is not None
    assert list(fp32.tune_slices) == list(fp32.holdout_slices) == ["person=1", "person=2", "person=3"]
    assert fp32.memory_bytes
    assert fp32.load_ms
    assert fp32.tune.interval is not None
    assert fp32.tune.interval_points is not None
    (choice,), (promise,) = evidence.choices, evidence.promises
    assert choice.holdout_looks == 1
    assert promise.candidate == choice.chosen
    ended = {item.candidate for item in choice.verdicts if item.standing is Standing.PRUNED}
    assert ended == {item.name for item in evidence.pruned}


@pytest.mark.parametrize(
    "path, value",
    [
        ("candidates.0.memory_bytes", -1),
        ("candidates.0.load_ms", "fast"),
        ("candidates.0.tune_slices", []),
        ("candidates.0.tune.interval", {"low": 1}),
        ("candidates.0.latency.median_us", 0),
        ("targets.0.holdout_looks", -1),
        ("targets.0.verdicts.0.standing", "best"),
        ("promises.0.artifact_bytes", None),
        ("candidates", None),
    ],
)
def test_evidence_that_makes_no_sense_is_refused(path: str, value: object) -> None:
    document: Any = json.loads(GOLDEN.read_text())
    *way, last = path.split(".")
    here: Any = document
    for step in way:
        here = here[int(step)] if isinstance(here, list) else here[step]
    if value is None:
        del here[last]
    else:
        here[last] = value
    with pytest.raises(InvalidField):
        Evidence.parse(json.dumps(document).encode())
