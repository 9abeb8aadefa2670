"""Small .tflite models, written node by node: no converter is needed."""

from __future__ import annotations

from collections.abc import Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

FILE_IDENTIFIER = b"TFL3"


def scale_model(factor: float, width: int, *, signature: bool = True) -> bytes:
    """y = factor * x, FP32 [N, width]. Without a signature tensors have the converter's names."""
    model = schema.ModelT()
    model.version = 3
    model.description = "test"
    model.buffers = [_buffer(b""), _buffer(np.float32(factor).tobytes())]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.MUL
    code.version = 1
    model.operatorCodes = [code]
    graph = schema.SubGraphT()
    graph.name = "main"
    x, y = ("serving_x:0", "out:0") if signature else ("x", "y")
    graph.tensors = [
        _tensor(x, (1, width), (-1, width), 0),
        _tensor("factor", (1,), None, 1),
        _tensor(y, (1, width), (-1, width), 0),
    ]
    graph.inputs, graph.outputs = [0], [2]
    operator = schema.OperatorT()
    operator.opcodeIndex = 0
    operator.inputs, operator.outputs = [0, 1], [2]
    operator.builtinOptionsType = schema.BuiltinOptions.MulOptions
    operator.builtinOptions = schema.MulOptionsT()
    graph.operators = [operator]
    model.subgraphs = [graph]
    if signature:
        model.signatureDefs = [_signature()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def _buffer(data: bytes) -> schema.BufferT:
    buffer = schema.BufferT()
    buffer.data = list(data) if data else None
    return buffer


def _tensor(name: str, shape: Sequence[int], free: Sequence[int] | None, buffer: int) -> schema.TensorT:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name, list(shape), buffer
    tensor.shapeSignature = list(free) if free else None
    tensor.type = schema.TensorType.FLOAT32
    return tensor


def _signature() -> schema.SignatureDefT:
    signature = schema.SignatureDefT()
    signature.signatureKey = "serving_default"
    signature.subgraphIndex = 0
    (taken, given) = schema.TensorMapT(), schema.TensorMapT()
    taken.name, taken.tensorIndex = "x", 0
    given.name, given.tensorIndex = "y", 2
    signature.inputs, signature.outputs = [taken], [given]
    return signature
