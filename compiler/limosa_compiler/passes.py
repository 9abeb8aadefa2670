"""A pipeline is a list of named pure passes; each says what it changed (compiler 2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

import onnx

from limosa_compiler.recipe.inputs import InputNotes
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class PassReport:
    name: str
    nodes_before: int
    nodes_after: int
    changed: int = 0  # nodes, names or tensors that are not as they were
    note: str = ""
    max_abs_error: float | None = None  # of the outputs on sample rows, where it was measured
    seconds: float = 0.0

    @classmethod
    def parse(cls, fields: Fields) -> PassReport:
        return cls(
            name=fields.text("name"),
            nodes_before=fields.integer("nodes_before", low=0),
            nodes_after=fields.integer("nodes_after", low=0),
            changed=fields.integer("changed", low=0),
            note=fields.text("note", empty=True),
            max_abs_error=fields.maybe("max_abs_error", fields.number),
            seconds=fields.number("seconds", low=0),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "nodes_before": self.nodes_before,
            "nodes_after": self.nodes_after,
            "changed": self.changed,
            "note": self.note,
            "max_abs_error": self.max_abs_error,
            "seconds": round(self.seconds, 6),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What passes may know besides the model."""

    where: str  # names the model in errors
    source_bytes: int
    inputs: Mapping[str, InputNotes] = field(default_factory=dict)  # what the recipe says of each
    operators: frozenset[str] = frozenset()  # "domain::name" of non-standard ones that devices have


class Pass(Protocol):
    """Model in, model out; the given model is not changed. `__name__` is the pass's name."""

    __name__: str

    def __call__(self, model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]: ...


OnPass: TypeAlias = Callable[[PassReport], None]


def run_passes(
    model: onnx.ModelProto, pipeline: Sequence[Pass], context: Context, *, on_pass: OnPass
) -> tuple[onnx.ModelProto, tuple[PassReport, ...]]:
    """The model after all passes, and a report of each."""
    reports: list[PassReport] = []
    for run in pipeline:
        begin = time.perf_counter()
        model, report = run(model, context)
        report = replace(report, seconds=time.perf_counter() - begin)
        reports.append(report)
        on_pass(report)
    return model, tuple(reports)


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    return result


def reported(
    name: str, before: onnx.ModelProto, after: onnx.ModelProto, *, changed: int = 0, note: str = ""
) -> tuple[onnx.ModelProto, PassReport]:
    """What a pass returns."""
    report = PassReport(
        name=name,
        nodes_before=len(before.graph.node),
        nodes_after=len(after.graph.node),
        changed=changed,
        note=note,
    )
    return after, report
