"""A release and its evidence, made by hand: every part is there, and every name is hostile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from limosa_compiler.artifact.release_facts import ReleaseFacts
from limosa_compiler.evidence.evidence import Evidence
from limosa_compiler.evidence.parts import (
    Confused,
    FeatureImportance,
    Mistakes,
    NodeSensitivity,
    RangeSummary,
    WorstRow,
)
from limosa_compiler.measuring.measure import Measured
from limosa_compiler.measuring.scores import Score
from limosa_compiler.metrics import Interval
from limosa_compiler.recipe.gate import Gate
from limosa_contracts.serving import TensorSpec

HOSTILE = "<script>alert(1)</script>\"'`|&\u202e"
OLD = Path(__file__).parent.parent / "golden" / "evidence-1.json"


def slices(item: Measured) -> Measured:
    score = Score(rows=80, metric=0.9, points=-0.5, interval=Interval(low=0.8, high=0.95))
    return replace(item, tune_slices={f"person={HOSTILE}": score}, holdout_slices={"person=2": score})


def evidence() -> Evidence:
    old = Evidence.parse(OLD.read_bytes())
    name = old.choices[0].chosen or ""
    return replace(
        old,
        candidates=tuple(slices(item) for item in old.candidates),
        warnings=(f"few rows of {HOSTILE}",),
        lineage={"run": HOSTILE},
        sensitivity=tuple(
            NodeSensitivity(name=f"{HOSTILE}/{i}", op_type="Conv", sqnr_db=40.0 - i, float_in_choice=i > 28)
            for i in range(30)
        ),
        ranges=(
            RangeSummary(tensor=HOSTILE, low=0.0, high=90.0, kept_low=0.0, kept_high=4.5),
            RangeSummary(tensor="flat", low=1.0, high=1.0, kept_low=1.0, kept_high=1.0),
        ),
        importance=(
            FeatureImportance(input="x", feature=HOSTILE, points=4.0, low_points=2.0, high_points=6.0),
            FeatureImportance(input="x", feature="none", points=0.0, low_points=-1.0, high_points=1.0),
        ),
        mistakes=(
            Mistakes(
                candidate=name,
                classes=("rest", HOSTILE),
                pairs=(
                    Confused(true="rest", said="rest", rows=90),
                    Confused(true=HOSTILE, said="rest", rows=3),
                ),
                worst=(WorstRow(row=7, metric=1.25, note=HOSTILE),),
            ),
        ),
    )


def release_facts() -> ReleaseFacts:
    found = evidence()
    chosen = found.candidate(found.choices[0].chosen or "")
    reference = found.candidate("fp32")
    assert chosen is not None
    assert reference is not None
    return ReleaseFacts(
        release=found.release,
        metric="accuracy",
        lower_is_better=False,
        gate=Gate(max_loss_points=1.0, min_metric=0.7),
        about={
            "title": f"Wrist motion {HOSTILE}",
            "description": "Tells what a wrist does.",
            "intended_use": "Exercise counting.",
            "limits": f"Not for medicine. {HOSTILE}",
            "training_data": "Seven exercises of ten people.",
            "licenses": ["Apache-2.0", "My own"],
            "authors": ["A. Author"],
            "vendor": "Demo",
        },
        lineage={"run": "2026-11-20-a", "dataset": "sha256:" + "a" * 64},
        classes=("rest", HOSTILE),
        inputs=(TensorSpec(name="window", dtype="FP32", shape=(-1, 3, 128), low=-16.0, high=16.0),),
        outputs=(TensorSpec(name="probabilities", dtype="FP32", shape=(-1, 2)),),
        reference=reference,
        chosen={"rpi4": chosen, "generic-x86-64": chosen},
        inputs_digests={"evaluation": "sha256:" + "b" * 64, "calibration": "sha256:" + "c" * 64},
        tools={"limosa": "0.1.0", "onnx": "1.23.2"},
        warnings=("only 150 holdout rows",),
    )
