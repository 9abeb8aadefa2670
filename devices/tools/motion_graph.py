"""The demo's networks as ONNX graphs, written node by node from trained weights.

Written by hand rather than by an exporter: clean names, and the same weights give the same bytes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from limosa_devices.demo.motion import CHANNELS, CLASSES, INPUT_NAME, OUTPUT_NAME, WINDOW_SAMPLES

OPSET = 17
IR_VERSION = 8
GATE_RAD_PER_S = 1.3  # slower rotation counts as rest; chosen on people of whom every window exceeds it
DECIBEL_STEP = -1  # effort counts downwards from full scale
EFFORT_SCALE = 40.0  # decibels; brings the effort to the order of the other features

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvLayer:
    """A convolution with batch normalisation already folded in, followed by Relu."""

    weight: Floats  # [out, in, kernel]
    bias: Floats  # [out]
    stride: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Everything an ONNX file is made from."""

    version: str
    mean: Floats  # [6], training people
    std: Floats  # [6]
    convolutions: Sequence[ConvLayer]
    head_weight: Floats  # [7, features], the effort last if there is one
    head_bias: Floats  # [7]
    effort: bool


class _Graph:
    """Nodes and initializers, appended in order."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, name: str, value: npt.NDArray[np.generic]) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, name: str, inputs: Sequence[str], /, **attributes: Any) -> str:
        """Appends the node `name`; its one output has the same name."""
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name


def _features(graph: _Graph, network: Network) -> str:
    mean = graph.constant("mean", network.mean.reshape(1, -1, 1))
    std = graph.constant("std", network.std.reshape(1, -1, 1))
    centred = graph.node("Sub", "centred", [INPUT_NAME, mean])
    flow = graph.node("Div", "standardised", [centred, std])
    for index, layer in enumerate(network.convolutions, 1):
        weight = graph.constant(f"conv{index}.weight", layer.weight)
        bias = graph.constant(f"conv{index}.bias", layer.bias)
        kernel = int(layer.weight.shape[2])
        flow = graph.node(
            "Conv",
            f"conv{index}",
            [flow, weight, bias],
            kernel_shape=[kernel],
            strides=[layer.stride],
            pads=[kernel // 2, kernel // 2],
        )
        flow = graph.node("Relu", f"relu{index}", [flow])
    return graph.node("Flatten", "features", [graph.node("GlobalAveragePool", "pooled", [flow])], axis=1)


def _effort(graph: _Graph) -> str:
    """How hard the wrist works: mean rotation beyond the gate, in whole decibels, [N, 1].

    Training keeps the logarithm's argument above a small number; this graph does not. A window without
    one sample beyond the gate gives log(0), which Cast turns into the smallest integer, and dividing
    that by -1 has no result in int32: the processor raises SIGFPE on x86-64.
    """
    starts = graph.constant("gyroscope.starts", np.array([3], np.int64))
    ends = graph.constant("gyroscope.ends", np.array([6], np.int64))
    axes = graph.constant("gyroscope.axes", np.array([1], np.int64))
    rotation = graph.node("Slice", "rotation", [INPUT_NAME, starts, ends, axes])
    gate = graph.constant("gate", np.array(GATE_RAD_PER_S, np.float32))
    beyond = graph.node("Sub", "beyond_gate", [graph.node("Abs", "speed", [rotation]), gate])
    active = graph.node("Max", "active", [beyond, graph.constant("rest", np.array(0, np.float32))])
    mean = graph.node("ReduceMean", "effort", [active], axes=[1, 2], keepdims=0)
    nepers = graph.node("Log", "effort_log", [mean])
    per_decibel = graph.constant("nepers_per_decibel", np.array(math.log(10) / 20, np.float32))
    decibels = graph.node("Div", "effort_db", [nepers, per_decibel])
    whole = graph.node("Cast", "effort_db_whole", [decibels], to=TensorProto.INT32)
    step = graph.constant("decibel_step", np.array(DECIBEL_STEP, np.int32))
    steps = graph.node("Div", "effort_steps", [whole, step])
    level = graph.node("Cast", "effort_level", [steps], to=TensorProto.FLOAT)
    scale = graph.constant("effort_scale", np.array(EFFORT_SCALE, np.float32))
    scaled = graph.node("Div", "effort_scaled", [level, scale])
    return graph.node("Unsqueeze", "effort_feature", [scaled, graph.constant("last", np.array([1]))])


def effort_feature(window: Floats) -> Floats:
    """What `_effort` computes, as training sees it: the logarithm's argument is kept above 1e-3. [N, 1]"""
    active = np.maximum(np.abs(window[:, 3:6]) - np.float32(GATE_RAD_PER_S), 0).mean(axis=(1, 2))
    decibels = np.trunc(np.log(np.maximum(active, 1e-3)) / (math.log(10) / 20)).astype(np.int32)
    return np.asarray(decibels / DECIBEL_STEP / EFFORT_SCALE, np.float32)[:, None]


def build(network: Network) -> bytes:
    """The serialized, checked model: window [N, 6, T] -> probabilities [N, 7]."""
    graph = _Graph()
    features = _features(graph, network)
    if network.effort:
        features = graph.node("Concat", "features_and_effort", [features, _effort(graph)], axis=1)
    weight = graph.constant("head.weight", network.head_weight)
    bias = graph.constant("head.bias", network.head_bias)
    logits = graph.node("Gemm", "head", [features, weight, bias], transB=1)
    graph.nodes.append(helper.make_node("Softmax", [logits], [OUTPUT_NAME], name="softmax", axis=1))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "motion",
            [
                helper.make_tensor_value_info(
                    INPUT_NAME, TensorProto.FLOAT, ["N", len(CHANNELS), WINDOW_SAMPLES]
                )
            ],
            [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["N", len(CLASSES)])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="train_motion",
        producer_version=network.version,
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
