"""Nodes in an order in which each comes after what it reads."""

from __future__ import annotations

import onnx

from limosa_compiler.graph_walk import with_nested


def in_order(graph: onnx.GraphProto) -> None:
    """Sorts the graph's nodes in place; of those that are ready, the one that stood first comes first.

    Raises ValueError if there is a cycle.
    """
    nodes = list(graph.node)
    maker = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    needs = [
        {maker[name] for inner in with_nested([node]) for name in inner.input if name in maker} - {index}
        for index, node in enumerate(nodes)
    ]
    readers: dict[int, list[int]] = {}
    for index, wanted in enumerate(needs):
        for other in sorted(wanted):
            readers.setdefault(other, []).append(index)
    missing = [len(wanted) for wanted in needs]
    import heapq

    ready = [index for index, count in enumerate(missing) if not count]
    heapq.heapify(ready)
    sorted_nodes: list[onnx.NodeProto] = []
    while ready:
        index = heapq.heappop(ready)
        copied = onnx.NodeProto()
        copied.CopyFrom(nodes[index])
        sorted_nodes.append(copied)
        for reader in readers.get(index, []):
            missing[reader] -= 1
            if not missing[reader]:
                heapq.heappush(ready, reader)
    if len(sorted_nodes) != len(nodes):
        raise ValueError("the graph has a cycle")
    del graph.node[:]
    graph.node.extend(sorted_nodes)
