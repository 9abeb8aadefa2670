"""Recurrent states become ordinary tensors [N, …]: a Transpose at both ends of each (compiler 2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import onnx
from onnx import helper

from limosa_compiler.errors import UnsupportedShape
from limosa_compiler.graph_walk import fed_inputs, graphs
from limosa_compiler.passes import Context, PassReport, copy_of, reported
from limosa_compiler.recipe.inputs import InputNotes
from limosa_contracts.errors import InvalidField

PREFIX: Final = "limosa_state/"
Shape = tuple[int | str, ...]  # a length, a name, or "" for an axis of neither


def states_of(notes: Mapping[str, InputNotes]) -> dict[str, str]:
    """State input -> the output of the step before that feeds it."""
    return {name: item.state_from for name, item in sorted(notes.items()) if item.state_from}


def put_batch_first(model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """States [2, N, 128] are fed and answered as [N, 2, 128]. Raises InvalidField, UnsupportedShape."""
    states = states_of(context.inputs)
    result = copy_of(model)
    if not states:
        return reported("put_batch_first", model, result)
    values = {value.name: value for value in fed_inputs(result.graph)}
    batch = _batch_name(values, states)
    moved = 0
    for name, source in states.items():
        outputs = {value.name: value for value in result.graph.output}
        if source not in outputs:
            raise InvalidField(
                f"the model has no output {source!r}",
                where=f"inputs.{name}.state_from",
                hint=f"outputs: {', '.join(outputs)}",
            )
        shape = _shape(values[name])
        axis = _batch_axis(name, shape, batch)
        _set_shape(outputs[source], shape, axis)
        if axis:
            _transpose_input(result.graph, name, shape, axis)
            _transpose_output(result.graph, source, len(shape), axis)
            moved += 1
        _set_shape(values[name], shape, axis)
    return reported("put_batch_first", model, result, changed=moved, note=", ".join(states))


def _shape(value: onnx.ValueInfoProto) -> Shape:
    return tuple(
        dim.dim_value if dim.dim_value > 0 else dim.dim_param for dim in value.type.tensor_type.shape.dim
    )


def _batch_name(values: Mapping[str, onnx.ValueInfoProto], states: Mapping[str, str]) -> str:
    """The name of the first axis of what is no state."""
    for name, value in values.items():
        shape = _shape(value)
        if name not in states and shape and isinstance(shape[0], str):
            return shape[0]
    return ""


def _batch_axis(name: str, shape: Shape, batch: str) -> int:
    """The axis that is named like the batch; else the only free one; else a 1 at [L, N, H] or in front."""
    free = [axis for axis, size in enumerate(shape) if isinstance(size, str)]
    named = [axis for axis in free if batch and shape[axis] == batch]
    if len(named) == 1:
        return named[0]
    if len(free) == 1:
        return free[0]
    if not free and len(shape) == 3 and shape[1] == 1:
        return 1
    if not free and shape and shape[0] == 1:
        return 0
    raise UnsupportedShape(
        f"it is not clear which axis of the state {name!r} is the batch",
        where=f"inputs.{name}",
        why=f"its shape is {[size or -1 for size in shape]}",
        hint=f"fix the others: [inputs.{name}] shape = [..., -1, ...]",
    )


def _order(rank: int, axis: int) -> list[int]:
    """Axes that bring `axis` to the front."""
    return [axis, *(other for other in range(rank) if other != axis)]


def _set_shape(value: onnx.ValueInfoProto, shape: Shape, axis: int) -> None:
    """What goes in is what comes out, batch first: exporters leave axes of states without a length."""
    del value.type.tensor_type.shape.dim[:]
    for source in _order(len(shape), axis):
        dim = value.type.tensor_type.shape.dim.add()
        size = shape[source]
        if isinstance(size, str):
            dim.dim_param = size or "N"
        else:
            dim.dim_value = size


def _transpose_input(graph: onnx.GraphProto, name: str, shape: Shape, axis: int) -> None:
    inner = f"{PREFIX}{name}"
    _rename_uses(graph, name, inner)
    order = _order(len(shape), axis)
    back = [order.index(position) for position in range(len(shape))]
    graph.node.insert(0, helper.make_node("Transpose", [name], [inner], name=f"{PREFIX}in/{name}", perm=back))


def _transpose_output(graph: onnx.GraphProto, name: str, rank: int, axis: int) -> None:
    inner = f"{PREFIX}{name}"
    _rename_uses(graph, name, inner)
    for node in graph.node:
        for position, made in enumerate(node.output):
            if made == name:
                node.output[position] = inner
    graph.node.append(
        helper.make_node("Transpose", [inner], [name], name=f"{PREFIX}out/{name}", perm=_order(rank, axis))
    )


def _rename_uses(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Also in branches and loops, which may read names of the graphs around them."""
    for inner in graphs(graph):
        for node in inner.node:
            for position, name in enumerate(node.input):
                if name == old:
                    node.input[position] = new
        if inner is not graph:
            for value in inner.output:  # a branch may answer with what it captured
                if value.name == old:
                    value.name = new
