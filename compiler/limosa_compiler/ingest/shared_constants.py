"""Equal constants of branches and loops, kept once, in the graph around them.

Folding is done in each branch on its own: two branches that read the same weights through the same few
nodes come out of it with a copy each, and a quantized model as large as the float one.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import onnx

from limosa_compiler.graph_walk import graphs, with_nested
from limosa_compiler.passes import Context, PassReport, copy_of, reported

BYTES_MIN: Final = 1024  # smaller ones are not worth another name


def share_constants(model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """What a branch reads from around it has always been allowed: the model computes the same."""
    result = copy_of(model)
    taken = _names(result)
    moved = 0
    for number, places in enumerate(_copies(result)):
        name = f"shared_{number}"
        while name in taken:
            name += "_"
        first = onnx.TensorProto()
        first.CopyFrom(places[0][1])
        first.name = name
        result.graph.initializer.append(first)
        for graph, tensor in places:
            old = tensor.name
            graph.initializer.remove(tensor)
            _rename(graph, old, name)
        moved += len(places)
    return reported("share_constants", model, result, changed=moved)


def _copies(model: onnx.ModelProto) -> list[list[tuple[onnx.GraphProto, onnx.TensorProto]]]:
    """Groups of at least two equal constants inside branches, in graph order."""
    groups: defaultdict[bytes, list[tuple[onnx.GraphProto, onnx.TensorProto]]] = defaultdict(list)
    _, *inner = graphs(model.graph)
    for graph in inner:
        answers = {value.name for value in graph.output} | {value.name for value in graph.input}
        for tensor in graph.initializer:
            if tensor.ByteSize() >= BYTES_MIN and tensor.name not in answers:
                groups[_content(tensor)].append((graph, tensor))
    return [places for places in groups.values() if len(places) > 1]


def _content(tensor: onnx.TensorProto) -> bytes:
    nameless = onnx.TensorProto()
    nameless.CopyFrom(tensor)
    nameless.ClearField("name")
    nameless.ClearField("doc_string")
    data: bytes = nameless.SerializeToString(deterministic=True)
    return data


def _names(model: onnx.ModelProto) -> set[str]:
    """Of all tensors, wherever they are."""
    found: set[str] = set()
    for graph in graphs(model.graph):
        found |= {value.name for value in (*graph.input, *graph.initializer)}
        found |= {name for node in graph.node for name in (*node.input, *node.output)}
    return found


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Where the graph, and those inside it, read `old`."""
    for node in with_nested(graph.node):
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new
