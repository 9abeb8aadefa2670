"""One .tflite model in LiteRT's interpreter, on one thread, row by row.

Tensors are known by the names of the model's signature, which converters keep as the user's; a model
without one is known by the names of its tensors.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

RUNTIME = "ai-edge-litert"


class Model:
    def __init__(self, data: bytes) -> None:
        """Raises ValueError or RuntimeError for what the interpreter does not take."""
        self._interpreter = Interpreter(model_content=data, num_threads=1)
        self._inputs, self._outputs = self._named_tensors()
        self._interpreter.allocate_tensors()
        self._shapes = {name: tuple(item["shape"]) for name, item in self._inputs.items()}

    def signature(self) -> dict[str, Any]:
        """Names, types and shapes, -1 for what is free; whether weights are quantized; the runtime."""
        return {
            "inputs": [_described(name, item) for name, item in self._inputs.items()],
            "outputs": [_described(name, item) for name, item in self._outputs.items()],
            "quantized": self._is_quantized(),
            "runtime": version(RUNTIME),
        }

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """All rows, one at a time: what a device's batch of one gives."""
        rows = len(next(iter(inputs.values())))
        answers = [self._row(inputs, row) for row in range(rows)]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in self._outputs}

    def time_once(self, inputs: Mapping[str, Any]) -> float:
        begin = time.perf_counter()
        self._row(inputs, 0)
        return time.perf_counter() - begin

    def _row(self, inputs: Mapping[str, Any], row: int) -> dict[str, Any]:
        self._fit(inputs, row)
        for name, item in self._inputs.items():
            self._interpreter.set_tensor(item["index"], inputs[name][row : row + 1])
        self._interpreter.invoke()
        return {
            name: np.array(self._interpreter.get_tensor(item["index"]))
            for name, item in self._outputs.items()
        }

    def _fit(self, inputs: Mapping[str, Any], row: int) -> None:
        """Free dimensions other than the batch take the row's size."""
        shapes = {name: inputs[name][row : row + 1].shape for name in self._inputs}
        if shapes == self._shapes:
            return
        for name, item in self._inputs.items():
            self._interpreter.resize_tensor_input(item["index"], shapes[name], strict=True)
        self._interpreter.allocate_tensors()
        self._shapes = shapes

    def _named_tensors(self) -> tuple[dict[str, Any], dict[str, Any]]:
        signatures = self._interpreter.get_signature_list()
        if len(signatures) > 1:
            raise ValueError(f"the model has {len(signatures)} signatures, one is taken")
        if signatures:
            runner = self._interpreter.get_signature_runner(next(iter(signatures)))
            return dict(runner.get_input_details()), dict(runner.get_output_details())
        return (
            {item["name"]: item for item in self._interpreter.get_input_details()},
            {item["name"]: item for item in self._interpreter.get_output_details()},
        )

    def _is_quantized(self) -> bool:
        return any(
            item["quantization_parameters"]["scales"].size > 0
            for item in self._interpreter.get_tensor_details()
        )


def _described(name: str, item: Mapping[str, Any]) -> dict[str, Any]:
    free = item.get("shape_signature", item["shape"])
    return {
        "name": name,
        "dtype": np.dtype(item["dtype"]).name,
        "shape": [int(size) for size in (free if len(free) else item["shape"])],
    }
