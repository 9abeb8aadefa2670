"""The recipe's steps become nodes of the model, which from then on takes raw inputs (compiler 2.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

import onnx
from onnx import checker, helper, shape_inference, version_converter

from limosa_compiler.errors import StepRefused
from limosa_compiler.graph_walk import fed_inputs, graphs, initializer_names
from limosa_compiler.ingest import opset_of
from limosa_compiler.passes import Context, PassReport, copy_of, reported
from limosa_compiler.processing.graph_parts import GraphParts, Place, Value
from limosa_compiler.processing.names import POST, PRE
from limosa_compiler.processing.step import ManyStep
from limosa_compiler.processing.tensor_type import TensorType, type_of
from limosa_compiler.recipe.processing import PlacedStep, Processing

ML_DOMAIN: Final = "ai.onnx.ml"
ML_OPSET: Final = 3


@dataclass(slots=True, kw_only=True)
class _Made:
    """What steps have added so far."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def take(self, parts: GraphParts) -> None:
        self.nodes += parts.nodes
        self.constants += parts.constants


def attach(
    model: onnx.ModelProto, processing: Processing, context: Context
) -> tuple[onnx.ModelProto, tuple[PassReport, ...]]:
    """The model with its processing, under the names that its inputs and outputs had.

    Raises StepRefused, naming the step, if a step does not fit. The given model is not changed.
    """
    if not processing:
        return model, ()
    reports: list[PassReport] = []
    result = _with_opset(model, processing, context)
    if processing.preprocess:
        result, report = _with_preprocess(result, processing.preprocess, context)
        reports.append(report)
    if processing.postprocess:
        result, report = _with_postprocess(result, processing.postprocess, context)
        reports.append(report)
    _check(result, context)
    return result, tuple(reports)


def _with_opset(model: onnx.ModelProto, processing: Processing, context: Context) -> onnx.ModelProto:
    """At least what every step needs, and the domain of machine learning if one needs that."""
    steps = [placed.step for placed in (*processing.preprocess, *processing.postprocess)]
    wanted = max(step.opset_min for step in steps)
    result = copy_of(model)
    if opset_of(model) < wanted:
        try:
            result = version_converter.convert_version(result, wanted)
        except RuntimeError as error:
            needs = next(step.name for step in steps if step.opset_min == wanted)
            raise StepRefused(
                f"step {needs!r} needs opset {wanted}, and the model cannot be converted to it",
                where=context.where,
                why=str(error)[:200],
                hint=f"export the model with opset_version={wanted}",
            ) from error
        result.ir_version = model.ir_version
    if any(step.name == "map" for step in steps) and all(
        entry.domain != ML_DOMAIN for entry in result.opset_import
    ):
        result.opset_import.append(helper.make_opsetid(ML_DOMAIN, ML_OPSET))
    return result


def _with_preprocess(
    model: onnx.ModelProto, steps: Sequence[PlacedStep], context: Context
) -> tuple[onnx.ModelProto, PassReport]:
    result = copy_of(model)
    made = _Made()
    notes: list[str] = []
    for name, chain in _by_tensor(steps, [value.name for value in fed_inputs(model.graph)], "input"):
        info = next(value for value in result.graph.input if value.name == name)
        wanted = _typed(info, chain[0])
        if name in {value.name for value in result.graph.output}:
            raise _place(chain[0]).refused(f"input {name!r} is also an output of the model")
        raw = wanted
        for placed in reversed(chain):
            raw = placed.step.before(raw, _place(placed))
        final = _run_chain(chain, Value(name=name, type=raw), f"{PRE}{name}/", opset_of(result), made)
        if not final.type.fits(wanted):
            raise _place(chain[-1]).refused(f"the steps give {final.type}, and the model takes {wanted}")
        if final.name != name:
            _rename_reads(result.graph, name, final.name)
        info.CopyFrom(raw.as_value_info(name))
        notes.append(f"{name}: {raw} -> {wanted}")
    nodes = [*made.nodes, *result.graph.node]
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(made.constants)
    del result.graph.value_info[:]  # they may speak of names and sizes that are no more
    return reported(
        "attach_preprocess",
        model,
        result,
        changed=len(made.nodes),
        note=f"{'; '.join(notes)} ({context.where})",
    )


def _run_chain(chain: Sequence[PlacedStep], value: Value, prefix: str, opset: int, made: _Made) -> Value:
    for number, placed in enumerate(chain):
        parts = GraphParts(f"{prefix}{number}.{placed.step.name}/", opset=opset, place=_place(placed))
        value = placed.step.build(parts, value)
        made.take(parts)
    return value


def _with_postprocess(
    model: onnx.ModelProto, steps: Sequence[PlacedStep], context: Context
) -> tuple[onnx.ModelProto, PassReport]:
    result = copy_of(model)
    infos = {value.name: value for value in result.graph.output}
    passed = {value.name for value in fed_inputs(model.graph)} | initializer_names(model.graph)
    made = _Made()
    outputs: dict[str, Value] = {}
    for name, info in infos.items():
        found = type_of(info)
        if found is not None:
            outputs[name] = Value(name=name, type=found)
    for number, placed in enumerate(steps):
        name = _known_name(placed, list(infos | outputs), "output")
        if name in passed:
            raise _place(placed).refused(f"output {name!r} is an input or a constant of the model")
        if name not in outputs:
            raise _place(placed).refused(f"output {name!r} is of a type that no step takes")
        parts = GraphParts(
            f"{POST}{name}/{number}.{placed.step.name}/", opset=opset_of(result), place=_place(placed)
        )
        _apply(placed, parts, name, outputs)
        made.take(parts)
    result.graph.node.extend(made.nodes)
    result.graph.initializer.extend(made.constants)
    _set_outputs(result, infos, outputs)
    note = ", ".join(f"{name}: {value.type}" for name, value in outputs.items())
    return reported(
        "attach_postprocess", model, result, changed=len(made.nodes), note=f"{note} ({context.where})"
    )


def _apply(placed: PlacedStep, parts: GraphParts, name: str, outputs: dict[str, Value]) -> None:
    target = placed.named or name
    if placed.named and placed.named in outputs:
        raise parts.place.refused(f"there is an output {placed.named!r} already", hint="as = another name")
    if isinstance(placed.step, ManyStep):
        for changed, value in placed.step.build_many(parts, name, outputs, target).items():
            if value is None:
                outputs.pop(changed, None)
            else:
                outputs[changed] = value
    else:
        outputs[target] = placed.step.build(parts, outputs[name])


def _set_outputs(
    result: onnx.ModelProto, infos: dict[str, onnx.ValueInfoProto], outputs: dict[str, Value]
) -> None:
    """A result has the name of the output that it replaces; what the model computed moves to another."""
    kept = {name: onnx.ValueInfoProto.FromString(info.SerializeToString()) for name, info in infos.items()}
    known = {name for name, info in kept.items() if type_of(info) is not None}
    del result.graph.output[:]
    for name in infos:
        if name in outputs and outputs[name].name != name:
            inner = f"{POST}{name}/in"
            for node in result.graph.node:
                node.output[:] = [inner if output == name else output for output in node.output]
            _rename_reads(result.graph, name, inner)
            outputs = {key: _renamed(value, name, inner) for key, value in outputs.items()}
    for name in [*infos, *(name for name in outputs if name not in infos)]:
        if name not in outputs and name in known:
            continue  # a step took it away
        if name in outputs and outputs[name].name != name:
            made = helper.make_node("Identity", [outputs[name].name], [name], name=f"{POST}{name}/out")
            result.graph.node.append(made)
            result.graph.output.append(outputs[name].type.as_value_info(name))
        else:
            result.graph.output.append(kept[name])


def _renamed(value: Value, old: str, new: str) -> Value:
    return Value(name=new, type=value.type) if value.name == old else value


def _rename_reads(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Wherever nodes read `old`, also inside control flow; a graph's own output counts as a read there."""
    for one in graphs(graph):
        for node in one.node:
            node.input[:] = [new if name == old else name for name in node.input]
        if one is not graph:
            for value in one.output:
                value.name = new if value.name == old else value.name


def _by_tensor(
    steps: Sequence[PlacedStep], known: list[str], kind: str
) -> Iterator[tuple[str, list[PlacedStep]]]:
    """Chains by input, in the order in which the recipe names them first."""
    chains: dict[str, list[PlacedStep]] = {}
    for placed in steps:
        chains.setdefault(_known_name(placed, known, kind), []).append(placed)
    return iter(chains.items())


def _known_name(placed: PlacedStep, known: list[str], kind: str) -> str:
    place = _place(placed)
    if not placed.tensor:
        if len(known) == 1:
            return known[0]
        raise place.refused(f"the model has {len(known)} {kind}s", hint=f'{kind} = "{known[0]}"')
    if placed.tensor not in known:
        near = get_close_matches(placed.tensor, known, n=1)
        raise place.refused(
            f"the model has no {kind} {placed.tensor!r}",
            hint=f"did you mean {near[0]!r}?" if near else f"{kind}s: {', '.join(known)}",
        )
    return placed.tensor


def _typed(info: onnx.ValueInfoProto, placed: PlacedStep) -> TensorType:
    found = type_of(info)
    if found is None or not found.rank:
        raise _place(placed).refused(f"input {info.name!r} is no tensor of a known number of dimensions")
    return found


def _place(placed: PlacedStep) -> Place:
    return Place(where=placed.where, step=placed.step.name)


def _check(model: onnx.ModelProto, context: Context) -> None:
    """Raises StepRefused: the steps' own checks should have said it first."""
    try:
        checker.check_model(model)
        shape_inference.infer_shapes(model, data_prop=True)
    except (checker.ValidationError, shape_inference.InferenceError, ValueError) as error:
        raise StepRefused(
            "the model with its processing is not valid ONNX", where=context.where, why=str(error)[:300]
        ) from error
