"""Constants of a graph as arrays: read by name, replaced by name."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from typing import Final

import numpy as np
import onnx
from onnx import numpy_helper

from limosa_compiler.arrays import Array
from limosa_compiler.graph_walk import nodes

_COMPRESSION: Final = 6


class Constants:
    """Initializers and Constant nodes of the main graph; changes go into the graph at `store`."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._arrays: dict[str, Array] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in self._graph.initializer
        }
        for node in self._graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                self._arrays[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        given = {value.name for value in self._graph.input}
        uses = Counter(name for node in nodes(model) for name in node.input)
        shown = {value.name for value in self._graph.output}
        self._own = {
            name for name in self._arrays if uses[name] == 1 and name not in given and name not in shown
        }
        self._changed: set[str] = set()

    def get(self, name: str) -> Array | None:
        return self._arrays.get(name)

    def is_own(self, name: str) -> bool:
        """Whether it is a constant that one node uses, once: it may be changed."""
        return name in self._own

    def put(self, name: str, array: Array) -> None:
        self._arrays[name] = np.ascontiguousarray(array)
        self._changed.add(name)

    def store(self) -> None:
        """Writes what was put; a changed Constant node becomes an initializer."""
        stored = {tensor.name: tensor for tensor in self._graph.initializer}
        gone = [
            node
            for node in self._graph.node
            if node.op_type == "Constant" and node.output[0] in self._changed
        ]
        for node in gone:
            self._graph.node.remove(node)
        for name in sorted(self._changed):
            tensor = numpy_helper.from_array(self._arrays[name], name)
            if name in stored:
                stored[name].CopyFrom(tensor)
            else:
                self._graph.initializer.append(tensor)


def sent_bytes(model: onnx.ModelProto) -> int:
    """About what a transfer of the model takes: its bytes, compressed."""
    return len(zlib.compress(model.SerializeToString(deterministic=True), _COMPRESSION))


def kept_count(count: int, share: float) -> int:
    """
    >>> kept_count(10, 0.25), kept_count(10, 0.96), kept_count(1, 0.5)
    (8, 1, 1)
    """
    return max(1, math.ceil(count * (1 - share)))
