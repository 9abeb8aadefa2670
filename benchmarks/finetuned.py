"""Models that are really trained, and then really trained on: a multi-layer perceptron in numpy.

Digits of MNIST (5,000, labelled), Adam, cross entropy. The first version learns from one half of the
training rows; a second version goes on with the other half, all layers or the last one.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.real_models import file_path

Floats: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.int64]
BATCH = 64
WIDTH_IN, WIDTH_OUT = 784, 10


@dataclass(frozen=True, slots=True)
class Digits:
    """float32 [N, 784] in 0..1, and int64 [N]."""

    images: Floats
    labels: Labels

    def part(self, start: int, stop: int) -> Digits:
        return Digits(self.images[start:stop], self.labels[start:stop])


@dataclass(frozen=True, slots=True)
class Network:
    """`weights` are float32 [out, in]; between layers a ReLU."""

    weights: Sequence[Floats]
    biases: Sequence[Floats]

    @classmethod
    def new(cls, hidden: Sequence[int], *, seed: int) -> Network:
        rng = np.random.default_rng(seed)
        widths = [WIDTH_IN, *hidden, WIDTH_OUT]
        weights = [
            rng.normal(0, np.sqrt(2 / wide), (out, wide)).astype(np.float32) for wide, out in pairwise(widths)
        ]
        return cls(weights, [np.zeros(out, np.float32) for out in widths[1:]])

    def accuracy(self, digits: Digits) -> float:
        return float((self._layers(digits.images)[-1].argmax(1) == digits.labels).mean())

    def _layers(self, images: Floats) -> list[Floats]:
        values = [images]
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            out = values[-1] @ weight.T + bias
            values.append(np.maximum(out, 0) if i + 1 < len(self.weights) else out)
        return values

    def trained(
        self, digits: Digits, *, steps: int, rate: float, seed: int, last_only: bool = False
    ) -> Network:
        """A copy after `steps` of Adam with the learning rate `rate`."""
        rng = np.random.default_rng(seed)
        network = Network([w.copy() for w in self.weights], [b.copy() for b in self.biases])
        first = len(network.weights) - 1 if last_only else 0
        learned = [*network.weights[first:], *network.biases[first:]]
        moments = [(np.zeros_like(item), np.zeros_like(item)) for item in learned]
        for step in range(1, steps + 1):
            rows = rng.integers(0, len(digits.labels), BATCH)
            slopes = network._slopes(digits.images[rows], digits.labels[rows], first)
            size = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            for item, slope, (mean, square) in zip(learned, slopes, moments, strict=True):
                mean += 0.1 * (slope - mean)
                square += 0.001 * (slope * slope - square)
                item -= np.float32(size) * mean / (np.sqrt(square) + 1e-8)
        return network

    def _slopes(self, images: Floats, labels: Labels, first: int) -> list[Floats]:
        """Gradients of the cross entropy: of weights from layer `first` on, then of biases."""
        values = self._layers(images)
        scores = np.exp(values[-1] - values[-1].max(1, keepdims=True))
        back = scores / scores.sum(1, keepdims=True)
        back[np.arange(len(labels)), labels] -= 1
        back /= len(labels)
        weights: list[Floats] = []
        biases: list[Floats] = []
        for i in reversed(range(first, len(self.weights))):
            weights.insert(0, back.T @ values[i])
            biases.insert(0, back.sum(0))
            if i > first:
                back = (back @ self.weights[i]) * (values[i] > 0)
        return [*weights, *biases]

    def onnx_model(self) -> onnx.ModelProto:
        nodes, initializers, name = [], [], "image"
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            initializers += [
                numpy_helper.from_array(weight, f"layer{i}.weight"),
                numpy_helper.from_array(bias, f"layer{i}.bias"),
            ]
            out = f"layer{i}.out"
            nodes.append(
                helper.make_node(
                    "Gemm", [name, f"layer{i}.weight", f"layer{i}.bias"], [out], f"layer{i}", transB=1
                )
            )
            name = out
            if i + 1 < len(self.weights):
                name = f"layer{i}.relu"
                nodes.append(helper.make_node("Relu", [out], [name], name))
        graph = helper.make_graph(
            nodes,
            "digits",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", WIDTH_IN])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH_OUT])],
            initializers,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def digits() -> Digits:
    """All 5,000, in an order that mixes the classes."""
    with gzip.open(file_path("mnist_digits"), "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    table = table[np.random.default_rng(7).permutation(len(table))]
    return Digits(table[:, :-1] / np.float32(255), table[:, -1].astype(np.int64))
