"""Every node has a name of its own, and every input is one."""

from __future__ import annotations

import onnx

from limosa_compiler.graph_walk import fed_inputs, graphs, nodes
from limosa_compiler.passes import Context, PassReport, copy_of, reported


def drop_constant_inputs(model: onnx.ModelProto, _: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """Initializers that old exporters also list as inputs are constants, and nothing else."""
    result = copy_of(model)
    fed = fed_inputs(result.graph)
    dropped = len(result.graph.input) - len(fed)
    del result.graph.input[:]
    result.graph.input.extend(fed_inputs(model.graph))
    return reported("drop_constant_inputs", model, result, changed=dropped)


def name_nodes(model: onnx.ModelProto, _: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """A name for every node, each once: unnamed ones make an exclusion list match the wrong set."""
    result = copy_of(model)
    taken = {node.name for node in nodes(result) if node.name}
    seen: set[str] = set()
    changed = 0
    for graph in graphs(result.graph):
        for position, node in enumerate(graph.node):
            if not node.name or node.name in seen:
                node.name = free_name(f"{node.op_type}_{position}", taken)
                changed += 1
            seen.add(node.name)
            taken.add(node.name)
    return reported("name_nodes", model, result, changed=changed)


def free_name(wanted: str, taken: set[str]) -> str:
    """`wanted`, or with the first number behind it that is not taken."""
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name
