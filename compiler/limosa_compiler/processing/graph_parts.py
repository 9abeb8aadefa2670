"""Nodes and constants of one step, named in order: equal recipes give equal bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from limosa_compiler.arrays import Array
from limosa_compiler.errors import StepRefused
from limosa_compiler.processing.tensor_type import ELEMENT, FREE, TensorType


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A tensor in the graph."""

    name: str
    type: TensorType


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a step stands in the recipe, e.g. `preprocess[2]`."""

    where: str
    step: str

    def refused(self, why: str, *, hint: str = "") -> StepRefused:
        return StepRefused(f"step {self.step!r} does not fit", where=self.where, why=why, hint=hint)


class GraphParts:
    """What a step adds. Every name starts with `prefix`; `opset` is the model's."""

    def __init__(self, prefix: str, *, opset: int, place: Place) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.opset = opset
        self.place = place
        self._prefix = prefix
        self._known: dict[bytes, str] = {}

    def node(self, op_type: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Adds a node with one output, and gives the output's name."""
        return self.node_of(op_type, inputs, 1, domain=domain, **attributes)[0]

    def node_of(
        self, op_type: str, inputs: Sequence[str], outputs: int, *, domain: str = "", **attributes: Any
    ) -> tuple[str, ...]:
        """The same for a node with several outputs."""
        name = f"{self._prefix}{len(self.nodes)}.{op_type}"
        names = (name,) if outputs == 1 else tuple(f"{name}.{number}" for number in range(outputs))
        self.nodes.append(
            helper.make_node(op_type, list(inputs), list(names), name=name, domain=domain, **attributes)
        )
        return names

    def constant(self, array: Array) -> str:
        """The name of an initializer with these values; equal ones are one."""
        name = f"{self._prefix}c{len(self.constants)}"
        tensor = numpy_helper.from_array(np.array(array, order="C"), "")
        key = tensor.SerializeToString(deterministic=True)
        if key in self._known:
            return self._known[key]
        tensor.name = name
        self.constants.append(tensor)
        self._known[key] = name
        return name

    def whole(self, *numbers: int) -> str:
        """A constant int64 [K]."""
        return self.constant(np.array(numbers, np.int64))

    def scalar(self, number: float, like: TensorType) -> str:
        """A constant of no dimension, of the type of `like`."""
        return self.constant(np.array(number, dtype=like.dtype))

    def cast(self, name: str, dtype: str) -> str:
        return self.node("Cast", name, to=ELEMENT[dtype])

    def size_of(self, value: Value, axis: int) -> str:
        """int64 [1]: the size of one axis, as it is at run time."""
        if value.type.shape[axis] != FREE:
            return self.whole(value.type.shape[axis])
        return self.node("Gather", self.node("Shape", value.name), self.whole(axis % value.type.rank))

    def mean(self, name: str, axes: Sequence[int]) -> str:
        """Over `axes`, kept with size 1. They are an input from opset 18 on, an attribute before."""
        if self.opset >= 18:
            return self.node("ReduceMean", name, self.whole(*axes), keepdims=1)
        return self.node("ReduceMean", name, axes=list(axes), keepdims=1)

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """0 keeps a dimension, one -1 is what is left."""
        return self.node("Reshape", name, self.whole(*shape))
