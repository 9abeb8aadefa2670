"""Trains the two small models that lie beside this file.

    python -m venv VENV && VENV/bin/pip install torch==2.13.0 onnx numpy
    PYTHONPATH=.:contracts VENV/bin/python -m benchmarks.models.train

torch is needed here only. One thread and fixed seeds: one machine gives the same bytes on every run.
The graphs are written node by node: clean names, no exporter.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from benchmarks.datasets import digits, vowels

HERE = Path(__file__).resolve().parent
OPSET, IR_VERSION = 17, 8
HIDDEN = 48  # of the GRU


def train_digits() -> bytes:
    """Two convolutions with pooling, one hidden layer: [N, 1, 28, 28] -> logits [N, 10]."""
    torch.manual_seed(11)
    rows = digits.read_digits()
    images = torch.from_numpy(rows.image[: digits.TRAIN])
    labels = torch.from_numpy(rows.label[: digits.TRAIN])
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(16, 32, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 7 * 7, 32),
        torch.nn.ReLU(),
        torch.nn.Linear(32, 10),
    )
    fit(net, images, labels, epochs=12, rate=2e-3)
    kinds = {"conv1": net[0], "conv2": net[3], "hidden": net[7], "logits": net[9]}
    weights = {
        f"{name}.{part}": getattr(layer, part).detach().numpy()
        for name, layer in kinds.items()
        for part in ("weight", "bias")
    }
    window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    halved = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        _node("Conv", "conv1", [digits.INPUT, "conv1.weight", "conv1.bias"], **window),
        _node("Relu", "relu1", ["conv1"]),
        _node("MaxPool", "pool1", ["relu1"], **halved),
        _node("Conv", "conv2", ["pool1", "conv2.weight", "conv2.bias"], **window),
        _node("Relu", "relu2", ["conv2"]),
        _node("MaxPool", "pool2", ["relu2"], **halved),
        _node("Flatten", "flat", ["pool2"]),
        _node("Gemm", "hidden", ["flat", "hidden.weight", "hidden.bias"], transB=1),
        _node("Relu", "relu3", ["hidden"]),
        _node("Gemm", "logits", ["relu3", "logits.weight", "logits.bias"], transB=1),
    ]
    return _encode("mnist", nodes, weights, {digits.INPUT: [1, digits.SIDE, digits.SIDE]}, 10)


def train_vowels() -> bytes:
    """A GRU and a linear head on its last state: [N, 29, 12] -> logits [N, 9]."""
    torch.manual_seed(3)
    rows = vowels.train_utterances()
    gru = torch.nn.GRU(vowels.COEFFICIENTS, HIDDEN, batch_first=True)
    head = torch.nn.Linear(HIDDEN, vowels.SPEAKERS)

    class Net(torch.nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = gru, head

        def forward(self, cepstra: Any) -> Any:
            return self.head(self.gru(cepstra)[1][0])

    net = Net()
    fit(net, torch.from_numpy(rows.cepstra), torch.from_numpy(rows.speaker), epochs=80, rate=5e-3)
    weights: Mapping[str, Any] = {
        "gru.W": _update_first(gru.weight_ih_l0)[None],
        "gru.R": _update_first(gru.weight_hh_l0)[None],
        "gru.B": np.concatenate([_update_first(gru.bias_ih_l0), _update_first(gru.bias_hh_l0)])[None],
        "logits.weight": head.weight.detach().numpy(),
        "logits.bias": head.bias.detach().numpy(),
        "axis": np.array([0], np.int64),
    }
    recurrent = helper.make_node(
        "GRU",
        ["frames", "gru.W", "gru.R", "gru.B"],
        ["", "last"],
        name="gru",
        hidden_size=HIDDEN,
        linear_before_reset=1,
    )
    nodes = [
        _node("Transpose", "frames", [vowels.INPUT], perm=[1, 0, 2]),
        recurrent,
        _node("Squeeze", "state", ["last", "axis"]),
        _node("Gemm", "logits", ["state", "logits.weight", "logits.bias"], transB=1),
    ]
    shape = {vowels.INPUT: [vowels.FRAMES, vowels.COEFFICIENTS]}
    return _encode("vowels", nodes, weights, shape, vowels.SPEAKERS)


def fit(net: Any, inputs: Any, labels: Any, *, epochs: int, rate: float, batch: int = 50) -> None:
    """Cross entropy, AdamW, one cosine."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs)).split(batch):
            loss = torch.nn.functional.cross_entropy(net(inputs[rows]), labels[rows], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()


def _update_first(parameter: Any) -> Any:
    """torch orders a GRU's gates reset, update, new; ONNX update, reset, new."""
    reset, update, new = np.split(parameter.detach().numpy(), 3)
    return np.concatenate([update, reset, new])


def _node(kind: str, name: str, inputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), [name], name=name, **attributes)


def _encode(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, Any],
    inputs: Mapping[str, Sequence[int]],
    classes: int,
) -> bytes:
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        list(nodes),
        name,
        [helper.make_tensor_value_info(key, floats, ["N", *shape]) for key, shape in inputs.items()],
        [helper.make_tensor_value_info("logits", floats, ["N", classes])],
        [numpy_helper.from_array(np.ascontiguousarray(value), key) for key, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, train in (("mnist", train_digits), ("vowels", train_vowels)):
        path = HERE / f"{name}.onnx"
        path.write_bytes(train())
        sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
