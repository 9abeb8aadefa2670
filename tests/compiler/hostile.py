"""Models that mean harm, or that a broken exporter wrote."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.compiler.graphs import model_of

GIB = 1024**3


def growing(kind: str, gigabytes: int = 16) -> onnx.ModelProto:
    """y = x + one number of a tensor of many gigabytes, which an operator makes of a few bytes."""
    many = gigabytes * GIB // 4
    constants: dict[str, np.ndarray[Any, Any]] = {
        "size": np.array([many], np.int64),
        "one": np.ones(1, np.float32),
        "square": np.ones((1, 1, 1, 1), np.float32),
        "scales": np.array([1, 1, 1024, many // 1024], np.float32),
        "none": np.zeros(0, np.float32),
        "zero": np.array(0, np.float32),
        "end": np.array(many, np.float32),
        "step": np.array(1, np.float32),
        "pads": np.array([0, many], np.int64),
    }
    made = {
        "ConstantOfShape": helper.make_node("ConstantOfShape", ["size"], ["huge"]),
        "Expand": helper.make_node("Expand", ["one", "size"], ["huge"]),
        "Tile": helper.make_node("Tile", ["one", "size"], ["huge"]),
        "Pad": helper.make_node("Pad", ["one", "pads"], ["huge"]),
        "Range": helper.make_node("Range", ["zero", "end", "step"], ["huge"]),
        "Resize": helper.make_node("Resize", ["square", "none", "scales"], ["huge"], mode="nearest"),
    }[kind]
    used = {name: value for name, value in constants.items() if name in made.input}
    nodes = [
        made,
        helper.make_node("ReduceMax", ["huge"], ["most"], keepdims=0),
        helper.make_node("Add", ["x", "most"], ["y"]),
    ]
    return model_of(nodes, used, {"x": ["N", 4]}, {"y": ["N", 4]})


def nested(levels: int) -> bytes:
    """An If in an If in an If: bytes written by hand, since libraries refuse to write them."""

    def field(number: int, payload: bytes) -> bytes:
        return _varint(number << 3 | 2) + _varint(len(payload)) + payload

    inner = field(1, field(2, b"y") + field(4, b"Identity") + field(1, b"x"))
    for _ in range(levels):
        attribute = field(1, b"then_branch") + field(6, inner) + _varint(20 << 3) + _varint(5)
        inner = field(1, field(1, b"c") + field(2, b"y") + field(4, b"If") + field(5, attribute))
    opset = field(8, _varint(2 << 3) + _varint(17))
    return _varint(1 << 3) + _varint(8) + field(7, inner + field(2, b"g")) + opset


def many_nodes(count: int) -> bytes:
    """Two bytes for every node."""
    graph = b"\x0a\x00" * count
    return b"\x08\x08" + _varint(7 << 3 | 2) + _varint(len(graph)) + graph + b"\x42\x04\x0a\x00\x10\x11"


def cyclic() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Identity", ["b"], ["y"]),
    ]
    return model_of(nodes, {}, {"x": ["N", 4]}, {"y": ["N", 4]})


def with_weight(value: float, *, kind: str = "Mul") -> onnx.ModelProto:
    weight = np.ones(4, np.float32)
    weight[2] = value
    return model_of(
        [helper.make_node(kind, ["x", "w"], ["y"])], {"w": weight}, {"x": ["N", 4]}, {"y": ["N", 4]}
    )


def with_scale(scale: float) -> onnx.ModelProto:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    constants: dict[str, np.ndarray[Any, Any]] = {
        "scale": np.array(scale, np.float32),
        "zero": np.array(128, np.uint8),
    }
    return model_of(nodes, constants, {"x": ["N", 4]}, {"y": ["N", 4]})


def with_empty_weight(dims: list[int]) -> onnx.ModelProto:
    """A tensor that says it is large and holds nothing."""
    model = with_weight(1.0)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    del weight.dims[:]
    weight.dims.extend(dims)
    return model


def with_external(location: str) -> onnx.ModelProto:
    model = with_weight(1.0)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    return model


def _varint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)
