"""What follows from taking channels out of a layer: which constants downstream lose the same channels.

A walk from a layer's output to the layers that read it. Every operator on the way must keep channels
apart, so that taking one out changes nothing but its own values; anything else ends the walk, and the
layer keeps all of its channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from onnx import shape_inference

from limosa_compiler.arrays import Array
from limosa_compiler.processing.names import is_processing
from limosa_compiler.pruning.weights import Constants

_ONE_BY_ONE: Final = (
    *("Abs", "Ceil", "Clip", "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish"),
    *("Identity", "LeakyRelu", "Log", "Mish", "Neg", "Relu", "Selu", "Sigmoid", "Sign", "Softplus"),
    *("Softsign", "Sqrt", "Tanh"),
)
_POOLS: Final = ("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool")
_ARITHMETIC: Final = ("Add", "Div", "Mul", "PRelu", "Sub")


class Blocked(Exception):
    """Channels cannot be taken out here; the text says at what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """`name` keeps, along `axis`, `repeats` entries for each channel that is kept."""

    name: str
    axis: int
    repeats: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """One layer whose channels may go. `depthwise`: convolutions in between, whose `group` is the count."""

    layer: onnx.NodeProto
    weights: str
    axis: int  # of the output channels in `weights`
    channels: int
    edits: tuple[Edit, ...]
    depthwise: tuple[str, ...]  # node names


class Graph:
    """A graph as a walk needs it: who reads what, ranks, constants."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.constants = Constants(model)
        self.nodes: Sequence[onnx.NodeProto] = list(model.graph.node)
        self.outputs = {value.name for value in model.graph.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.ranks = _ranks(model)
        self.has_subgraphs = any(
            attribute.HasField("g") or attribute.graphs for node in self.nodes for attribute in node.attribute
        )

    def own(self, name: str) -> Array:
        """Raises Blocked if it is not a constant that only one node reads."""
        array = self.constants.get(name)
        if array is None or not self.constants.is_own(name):
            raise Blocked(f"{name!r} is no constant of its own")
        return array


def chain_of(graph: Graph, layer: onnx.NodeProto) -> Chain:
    """Raises Blocked."""
    if graph.has_subgraphs:
        raise Blocked("the model has control flow")
    weights, axis, bias = _producer(graph, layer)
    channels = graph.own(weights).shape[axis]
    walk = _Walk(graph, channels)
    if bias:
        walk.edits.append(Edit(name=bias, axis=graph.own(bias).ndim - 1))
        if graph.own(bias).shape[-1] != channels:
            raise Blocked(f"the bias of {layer.name!r} is shared by its channels")
    walk.follow(layer.output[0], flattened=False, conv=layer.op_type == "Conv")
    return Chain(
        layer=layer,
        weights=weights,
        axis=axis,
        channels=channels,
        edits=tuple(walk.edits),
        depthwise=tuple(walk.depthwise),
    )


def _producer(graph: Graph, layer: onnx.NodeProto) -> tuple[str, int, str]:
    """(its weights, the axis of output channels, its bias or "")."""
    said = attributes(layer)
    weights = graph.own(layer.input[1])
    bias = layer.input[2] if len(layer.input) > 2 else ""
    if layer.op_type == "Conv" and said.get("group", 1) == 1:
        return layer.input[1], 0, bias
    if layer.op_type == "Gemm" and weights.ndim == 2:
        return layer.input[1], 0 if said.get("transB", 0) else 1, bias
    if layer.op_type == "MatMul" and weights.ndim == 2:
        return layer.input[1], 1, ""
    raise Blocked(f"{layer.name!r} is a {layer.op_type} of another form")


class _Walk:
    def __init__(self, graph: Graph, channels: int) -> None:
        self.graph = graph
        self.channels = channels
        self.edits: list[Edit] = []
        self.depthwise: list[str] = []

    def follow(self, tensor: str, *, flattened: bool, conv: bool) -> None:
        """`flattened`: channels and places are one axis, channel by channel. `conv`: channels are axis 1."""
        if tensor in self.graph.outputs:
            raise Blocked(f"{tensor!r} is an output of the model")
        for node in self.graph.readers.get(tensor, ()):
            self._through(node, tensor, flattened=flattened, conv=conv)

    def _through(self, node: onnx.NodeProto, tensor: str, *, flattened: bool, conv: bool) -> None:
        kind = node.op_type
        first = tensor == node.input[0] or (kind in ("Add", "Mul") and tensor == node.input[1])
        if is_processing(node.name) or len(set(node.output) - {""}) != 1 or not first:
            raise Blocked(f"{node.name!r} ({kind}) takes it in another place")
        if kind in _ONE_BY_ONE and len(node.input) <= (3 if kind in ("Clip", "Dropout") else 1):
            self.follow(node.output[0], flattened=flattened, conv=conv)
        elif kind in _ARITHMETIC:
            self._arithmetic(node, tensor, flattened=flattened, conv=conv)
        elif conv and not flattened and self._spatial(node):
            pass
        elif kind in ("Gemm", "MatMul"):
            self._dense(node, flattened=flattened, conv=conv)
        else:
            raise Blocked(f"{node.name!r} ({kind}) mixes channels, or is not known")

    def _spatial(self, node: onnx.NodeProto) -> bool:
        """What reads [N, C, …] with its channels apart; False where `node` is none of that."""
        kind, said, rank = node.op_type, attributes(node), self.graph.ranks.get(node.input[0], 0)
        if kind in _POOLS:
            self.follow(node.output[0], flattened=False, conv=True)
        elif kind == "BatchNormalization":
            for name in node.input[1:5]:
                self._per_channel(name)
            self.follow(node.output[0], flattened=False, conv=True)
        elif kind == "Conv" and said.get("group", 1) == 1:
            self._slice(node.input[1], axis=1, size=self.channels)
        elif kind == "Conv" and said.get("group") == self.channels == len(self.graph.own(node.input[1])):
            for name in node.input[1:]:
                self._per_channel(name)
            self.depthwise.append(node.name)
            self.follow(node.output[0], flattened=False, conv=True)
        elif (kind == "Flatten" and said.get("axis", 1) == 1) or self._flattens(node):
            self.follow(node.output[0], flattened=True, conv=False)
        elif kind in ("ReduceMean", "ReduceMax", "Squeeze") and self._axes(node, rank):
            self.follow(node.output[0], flattened=False, conv=True)
        else:
            return False
        return True

    def _flattens(self, node: onnx.NodeProto) -> bool:
        shape = self.graph.constants.get(node.input[1]) if node.op_type == "Reshape" else None
        return shape is not None and shape.shape == (2,) and shape[0] in (0, 1) and shape[1] == -1

    def _axes(self, node: onnx.NodeProto, rank: int) -> bool:
        """Whether it folds places only, no rows and no channels."""
        given = attributes(node).get("axes")
        if given is None and len(node.input) > 1:
            given = self.graph.constants.get(node.input[1])
        if given is None or not rank:
            return False
        axes = [int(axis) for axis in np.asarray(given).ravel()]
        return all(2 <= (axis + rank if axis < 0 else axis) < rank for axis in axes)

    def _dense(self, node: onnx.NodeProto, *, flattened: bool, conv: bool) -> None:
        said = attributes(node)
        weights = self.graph.own(node.input[1])
        two_axes = not conv or self.graph.ranks.get(node.input[0]) == 2
        if said.get("transA", 0) or weights.ndim != 2 or not two_axes:
            raise Blocked(f"{node.name!r} is a {node.op_type} of another form")
        axis = 1 if said.get("transB", 0) else 0
        repeats, rest = divmod(weights.shape[axis], self.channels)
        if rest or (repeats != 1 and not flattened):
            raise Blocked(f"{node.name!r} takes another number of channels")
        self.edits.append(Edit(name=node.input[1], axis=axis, repeats=repeats))

    def _arithmetic(self, node: onnx.NodeProto, tensor: str, *, flattened: bool, conv: bool) -> None:
        """With a constant for each channel, or one for all."""
        other = node.input[1] if tensor == node.input[0] else node.input[0]
        array = self.graph.constants.get(other)
        if array is None or other == tensor:
            raise Blocked(f"{node.name!r} joins two branches")
        if array.size > 1:
            rank = self.graph.ranks.get(tensor, 0)
            axis = array.ndim - (rank - 1 if conv else 1)
            if flattened or not rank or not 0 <= axis < array.ndim or array.size != self.channels:
                raise Blocked(f"{node.name!r} has a constant of another shape")
            self._slice(other, axis=axis, size=self.channels)
        self.follow(node.output[0], flattened=flattened, conv=conv)

    def _per_channel(self, name: str) -> None:
        self._slice(name, axis=0, size=self.channels)

    def _slice(self, name: str, *, axis: int, size: int) -> None:
        if self.graph.own(name).shape[axis] != size:
            raise Blocked(f"{name!r} has another number of channels")
        self.edits.append(Edit(name=name, axis=axis))


def attributes(node: onnx.NodeProto) -> Mapping[str, Any]:
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Of every tensor whose shape can be inferred."""
    inferred = shape_inference.infer_shapes(model)
    graph = inferred.graph
    return {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.input, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
