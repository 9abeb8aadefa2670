"""Ingest of a foreign model, in a child with limits: parsing and converting it may cost anything.

A few hundred bytes of protobuf unfold into gigabytes, and converters written in C++ end in signals. The
model that comes back fits within what the child was allowed, and is parsed here (trust 7.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from limosa_compiler.ingest import INGEST, parse_model
from limosa_compiler.ingest.parsing import check_size
from limosa_compiler.ingest.zipmap import class_labels
from limosa_compiler.limits import LIMITS
from limosa_compiler.passes import Context, OnPass, PassReport, run_passes
from limosa_compiler.recipe.inputs import InputNotes
from limosa_compiler.running.limited_child import call_limited
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """`classes` are those that a classifier of scikit-learn carries itself."""

    model: onnx.ModelProto
    reports: tuple[PassReport, ...]
    classes: tuple[str, ...]


def ingest_limited(data: bytes, context: Context, *, on_pass: OnPass) -> Ingested:
    """Raises RequestErrors for what is wrong with the model; ModelRefused if it breaks a limit."""
    check_size(data, where=context.where)
    head: dict[str, JsonValue] = {
        "task": "ingest",
        "where": context.where,
        "source_bytes": context.source_bytes,
        "operators": sorted(context.operators),
        "inputs": {name: notes.as_json() for name, notes in context.inputs.items()},
    }
    said, model = call_limited(head, data, b"", what=context.where)
    fields = Fields(said, where=context.where)
    reports = tuple(PassReport.parse(Fields(item, where=place)) for place, item in fields.items("reports"))
    for report in reports:
        on_pass(report)
    return Ingested(
        model=onnx.load_from_string(model),
        reports=reports,
        classes=fields.texts("classes", max_items=LIMITS.labels_max),
    )


def ingest_here(head: Mapping[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    """The child's side: (reports and classes, the model's bytes)."""
    inputs: JsonObject = head["inputs"]
    context = Context(
        where=head["where"],
        source_bytes=head["source_bytes"],
        operators=frozenset(head["operators"]),
        inputs={name: InputNotes.parse(Fields(item, where=name)) for name, item in inputs.items()},
    )
    model = parse_model(data, where=context.where)
    classes = class_labels(model)
    result, reports = run_passes(model, INGEST, context, on_pass=lambda report: None)
    facts = {"reports": [report.as_json() for report in reports], "classes": list(classes)}
    return facts, result.SerializeToString(deterministic=True)
