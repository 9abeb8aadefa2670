"""Three models that cost about 20 µs, 1 ms and 15 ms a run on one thread; each with one fixed input row.

Their inputs are of sizes that devices have: 64 sensor features, and the pictures of MLPerf Tiny
(32 × 32 and 96 × 96, three channels). Weights are drawn from a fixed seed: the cost does not depend on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from limosa_contracts.serving import FeatureSpec, TensorSpec
from tests.agent.serving.releases import Plan

Floats = npt.NDArray[np.float32]
CLASSES: Final = 10
DIGITS: Final = 4  # after the point, in JSON bodies
GOLDEN_CASES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchModel:
    """`shape`: of one request, one row. `inline`: whether peers run it on their loop, as ours will."""

    name: str
    about: str
    shape: tuple[int, ...]
    onnx_bytes: bytes
    inline: bool

    @property
    def row(self) -> Floats:
        """The fixed input, float32 in 0 to 1, with as many digits as a JSON body gives."""
        values = np.random.default_rng(1).uniform(0, 1, self.shape)
        return values.round(DIGITS).astype(np.float32)

    def plan(self) -> Plan:
        """A release as ours serves it: range checked, features sketched, classes counted."""
        inputs = (TensorSpec(name="x", dtype="FP32", shape=(-1, *self.shape[1:]), low=0.0, high=1.0),)
        return Plan(
            model=f"bench/{self.name}",
            version="1.0.0",
            onnx_bytes=self.onnx_bytes,
            inputs=inputs,
            outputs=(TensorSpec(name="y", dtype="FP32", shape=(-1, CLASSES)),),
            golden={"x": np.repeat(self.row, GOLDEN_CASES, axis=0)},
            features=(*self._features(), *_OUTPUT_FEATURES),
            classes=tuple(f"class{i}" for i in range(CLASSES)),
            probabilities="y",
        )

    def _features(self) -> tuple[FeatureSpec, ...]:
        """Each of the 64 features; of a picture mean and deviation of each channel."""
        if len(self.shape) == 2:
            kinds = [("value", channel) for channel in range(self.shape[1])]
        else:
            kinds = [(kind, channel) for kind in ("mean", "std") for channel in range(self.shape[1])]
        return tuple(
            FeatureSpec(name=f"{kind}{channel}", kind="input", tensor="x", channel=channel, reduce=kind)
            for kind, channel in kinds
        )


_OUTPUT_FEATURES: Final = tuple(
    FeatureSpec(name=kind, kind="output", tensor="y", channel=-1, reduce=kind)
    for kind in ("top", "entropy", "margin")
)


def bench_models() -> tuple[BenchModel, ...]:
    return (
        BenchModel(
            name="tiny",
            about="≈ 20 µs, 64 values",
            shape=(1, 64),
            onnx_bytes=_map_of_sensors(8, (32, 32, 24)),
            inline=True,
        ),
        BenchModel(
            name="small",
            about="≈ 1 ms, 3 × 32 × 32 values",
            shape=(1, 3, 32, 32),
            onnx_bytes=_pictures(32, (64, 64, 64, 64)),
            inline=False,
        ),
        BenchModel(
            name="medium",
            about="≈ 15 ms, 3 × 96 × 96 values",
            shape=(1, 3, 96, 96),
            onnx_bytes=_pictures(96, (64, 64, 64, 64, 64, 64)),
            inline=False,
        ),
    )


def _map_of_sensors(side: int, channels: Sequence[int]) -> bytes:
    """side² values in a row, looked at as a square: 80 kB of weights, as small models of devices have."""
    nodes, weights = (
        [helper.make_node("Reshape", ["x", "square"], ["map"])],
        dict[str, npt.NDArray[np.generic]](),
    )
    weights["square"] = np.array([-1, 1, side, side], np.int64)
    last, size = _convolve(nodes, weights, "map", 1, channels)
    return _finish(nodes, weights, last, size, [None, side * side])


def _pictures(side: int, channels: Sequence[int]) -> bytes:
    nodes, weights = list[onnx.NodeProto](), dict[str, npt.NDArray[np.generic]]()
    last, size = _convolve(nodes, weights, "x", 3, channels)
    return _finish(nodes, weights, last, size, [None, 3, side, side])


def _convolve(
    nodes: list[onnx.NodeProto],
    weights: dict[str, npt.NDArray[np.generic]],
    source: str,
    size: int,
    channels: Sequence[int],
) -> tuple[str, int]:
    """Appends to both; gives the name and width of what comes out."""
    random = np.random.default_rng(0)
    last = source
    for i, out in enumerate(channels):
        weights[f"w{i}"] = _weights(random, (out, size, 3, 3), size * 9)
        nodes.append(
            helper.make_node("Conv", [last, f"w{i}"], [f"h{i}"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        )
        nodes.append(helper.make_node("Relu", [f"h{i}"], [f"r{i}"]))
        last, size = f"r{i}", out
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    return "flat", size


def _finish(
    nodes: list[onnx.NodeProto],
    weights: dict[str, npt.NDArray[np.generic]],
    last: str,
    size: int,
    shape: Sequence[int | None],
) -> bytes:
    weights["out"] = _weights(np.random.default_rng(2), (size, CLASSES), size)
    nodes.append(helper.make_node("MatMul", [last, "out"], ["logits"]))
    nodes.append(helper.make_node("Softmax", ["logits"], ["y"], axis=1))
    graph = helper.make_graph(
        nodes,
        "bench",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, CLASSES])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _weights(random: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> Floats:
    drawn: Floats = (random.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
    return drawn
