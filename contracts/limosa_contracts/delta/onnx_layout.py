"""The weights of an ONNX model by their place in the file, without the onnx package.

Numbers of fields are those of onnx.proto. Weights of subgraphs and those that are stored as single
numbers stay in the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from limosa_contracts.delta.protobuf import BYTES, Field, NotProtobuf, fields, varint
from limosa_contracts.delta.tensors_found import WIDTHS, Found, FoundTensor, Quantization, apart

_MODEL_GRAPH: Final = 7
_GRAPH_NODE: Final = 1
_GRAPH_INITIALIZER: Final = 5
_KIND_OF_TYPE: Final[Mapping[int, str]] = {
    1: "f32", 2: "u8", 3: "i8", 4: "u16", 5: "i16", 6: "i32", 7: "i64", 9: "bool", 10: "f16",
    11: "f64", 12: "u32", 13: "u64", 16: "bf16", 17: "f8", 18: "f8", 19: "f8", 20: "f8", 21: "u4", 22: "i4",
}  # fmt: skip
_RAW_DATA: Final = 9
_PACKED: Final[Mapping[int, str]] = {4: "f32", 10: "f64"}  # float_data, double_data
_SCALE_OF_WEIGHT: Final[Mapping[str, tuple[int, int, int]]] = {
    "DequantizeLinear": (0, 1, 1),
    "QLinearConv": (3, 4, 0),
    "QLinearMatMul": (3, 4, 1),
}
"""Operator -> (input of the weights, input of their scale, axis unless the node says so)."""
_AXIS: Final = b"axis"


def find_in_onnx(blob: bytes | memoryview) -> Found:
    """What is found; nothing if this is no ONNX model."""
    data = memoryview(blob)
    try:
        return _Walk(data).found()
    except NotProtobuf:
        return Found()


class _Walk:
    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._tensors: list[FoundTensor] = []
        self._quantized: dict[str, Quantization] = {}

    def found(self) -> Found:
        for item in fields(self._data, 0, len(self._data)):
            if (item.number, item.wire) == (_MODEL_GRAPH, BYTES):
                self._graph(item)
        return Found(tensors=apart(self._tensors), quantized=self._quantized)

    def _graph(self, graph: Field) -> None:
        for item in fields(self._data, graph.start, graph.stop):
            if (item.number, item.wire) == (_GRAPH_INITIALIZER, BYTES):
                self._tensor(item, "")
            elif (item.number, item.wire) == (_GRAPH_NODE, BYTES):
                self._node(item)

    def _node(self, node: Field) -> None:
        inputs: list[str] = []
        outputs: list[str] = []
        operator, axis = "", None
        tensors: list[Field] = []
        for item in fields(self._data, node.start, node.stop):
            if item.wire != BYTES:
                continue
            if item.number == 1:
                inputs.append(self._text(item))
            elif item.number == 2:
                outputs.append(self._text(item))
            elif item.number == 4:
                operator = self._text(item)
            elif item.number == 5:
                name, number, tensor = self._attribute(item)
                axis = number if name == _AXIS else axis
                tensors += [tensor] if tensor else []
        if operator == "Constant" and outputs and tensors:
            self._tensor(tensors[0], outputs[0])
        self._note_scale(operator, inputs, axis)

    def _note_scale(self, operator: str, inputs: list[str], axis: int | None) -> None:
        places = _SCALE_OF_WEIGHT.get(operator)
        if places and len(inputs) > places[1]:
            weight, scale, usual = places
            self._quantized[inputs[weight]] = Quantization(
                scale=inputs[scale], axis=usual if axis is None else axis
            )

    def _attribute(self, attribute: Field) -> tuple[bytes, int, Field | None]:
        name, number, tensor = b"", 0, None
        for item in fields(self._data, attribute.start, attribute.stop):
            if (item.number, item.wire) == (1, BYTES):
                name = bytes(self._data[item.start : item.stop])
            elif item.number == 3:
                number = item.value if item.value < 2**63 else item.value - 2**64
            elif (item.number, item.wire) == (5, BYTES):
                tensor = item
        return name, number, tensor

    def _tensor(self, tensor: Field, name: str) -> None:
        shape: list[int] = []
        kind: str | None = None
        place: Field | None = None
        for item in fields(self._data, tensor.start, tensor.stop):
            if item.number == 1:
                shape += self._dims(item)
            elif item.number == 2:
                kind = _KIND_OF_TYPE.get(item.value)
            elif (item.number, item.wire) == (8, BYTES):
                name = name or self._text(item)
            elif item.wire == BYTES and (item.number == _RAW_DATA or item.number in _PACKED):
                place = item
        if kind is None or place is None or (place.number != _RAW_DATA and _PACKED[place.number] != kind):
            return
        if 2 * math.prod(shape) * WIDTHS[kind] >= place.stop - place.start:
            self._tensors.append(
                FoundTensor(name=name, kind=kind, shape=tuple(shape), start=place.start, stop=place.stop)
            )

    def _dims(self, item: Field) -> list[int]:
        if item.wire != BYTES:
            return [item.value]
        at, dims = item.start, []
        while at < item.stop:
            value, at = varint(self._data, at, item.stop)
            dims.append(value)
        return dims

    def _text(self, item: Field) -> str:
        return bytes(self._data[item.start : item.stop]).decode("utf-8", "replace")
