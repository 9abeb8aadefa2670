"""LiteRT behind the one method that serving needs (agent 5.3): `ai-edge-litert`, or `tflite-runtime`.

Tensors are known by the names of the model's signature; a model without one by the names of its tensors.
A batch runs row by row, as golden vectors were made: an interpreter that is resized plans its memory anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from threading import Lock
from typing import Any, Final

import numpy as np

from limosa_agent.serving.errors import InferenceFailed, LoadFailed
from limosa_agent.serving.runtime_options import RuntimeOptions
from limosa_agent.serving.tensor_codec import NUMPY, Array
from limosa_contracts.serving import FILE, Serving, TensorSpec

INTERPRETERS: Final = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
"""The first that is there; the older one where only that exists (agent 7)."""
RUNTIME_ERRORS: Final[tuple[type[Exception], ...]] = (RuntimeError, ValueError, TypeError, MemoryError)


class LitertRuntime:
    """An interpreter belongs to one thread at a time: as many are made as run at once."""

    wants_graph = False

    def __init__(self, model: bytes, serving: Serving, options: RuntimeOptions) -> None:
        """Raises LoadFailed."""
        self._model: Final = model  # interpreters read from these bytes as long as they live
        self._serving: Final = serving
        self._threads: Final = options.intra_op_threads or 1
        self._by_row: Final = all(spec.shape[:1] == (-1,) for spec in serving.inputs)
        self._lock: Final = Lock()
        self._idle: Final = [self._make()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        rows = len(next(iter(inputs.values()))) if self._by_row else 1
        try:
            with self._borrowed() as loaded:
                if rows == 1:
                    return loaded.run(inputs)
                answers = [
                    loaded.run({name: array[row : row + 1] for name, array in inputs.items()})
                    for row in range(rows)
                ]
        except RUNTIME_ERRORS as error:
            raise InferenceFailed("the model failed on this input", why=_short(error)) from error
        return {
            spec.name: np.concatenate([answer[spec.name] for answer in answers])
            for spec in self._serving.outputs
        }

    @contextmanager
    def _borrowed(self) -> Iterator[_Loaded]:
        with self._lock:
            loaded = self._idle.pop() if self._idle else None
        if loaded is None:
            loaded = self._make()
        yield loaded
        with self._lock:  # one that raised is not used again
            self._idle.append(loaded)

    def _make(self) -> _Loaded:
        try:
            return _Loaded(self._model, self._serving, self._threads)
        except RUNTIME_ERRORS as error:
            raise LoadFailed(
                "the model does not load", where=self._serving.model_file, why=_short(error)
            ) from error


class _Loaded:
    """One interpreter, its tensors found by name."""

    def __init__(self, model: bytes, serving: Serving, threads: int) -> None:
        self._interpreter: Final = _interpreter_class()(model_content=model, num_threads=threads)
        inputs, outputs = _named_tensors(self._interpreter)
        self._inputs: Final = _matched("input", serving.inputs, inputs, serving, all_of_them=True)
        self._outputs: Final = _matched("output", serving.outputs, outputs, serving, all_of_them=False)
        self._interpreter.allocate_tensors()
        self._shapes = {name: tuple(inputs[name]["shape"]) for name in self._inputs}

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        interpreter = self._interpreter
        shapes = {name: inputs[name].shape for name in self._inputs}
        if shapes != self._shapes:
            self._resize(shapes)
        for name, index in self._inputs.items():
            interpreter.set_tensor(index, inputs[name])
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in self._outputs.items()}

    def _resize(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = {}  # if this fails half-way, the next run resizes again
        for name, index in self._inputs.items():
            self._interpreter.resize_tensor_input(index, shapes[name], strict=True)
        self._interpreter.allocate_tensors()
        self._shapes = dict(shapes)


def _interpreter_class() -> Any:
    """Raises LoadFailed."""
    for name in INTERPRETERS:
        with suppress(ModuleNotFoundError):
            return import_module(name).Interpreter
    raise LoadFailed("this device has no LiteRT", where=FILE, hint="pip install 'limosa[agent,litert]'")


def _named_tensors(interpreter: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """name -> details, of inputs and outputs. Raises LoadFailed."""
    signatures = interpreter.get_signature_list()
    if len(signatures) > 1:
        raise LoadFailed("the model has several signatures", why=", ".join(sorted(signatures))[:300])
    if signatures:
        runner = interpreter.get_signature_runner(next(iter(signatures)))
        return dict(runner.get_input_details()), dict(runner.get_output_details())
    return (
        {item["name"]: item for item in interpreter.get_input_details()},
        {item["name"]: item for item in interpreter.get_output_details()},
    )


def _matched(
    kind: str,
    specs: tuple[TensorSpec, ...],
    real: Mapping[str, Any],
    serving: Serving,
    *,
    all_of_them: bool,
) -> dict[str, int]:
    """name -> index of the tensor. Raises LoadFailed."""
    declared = {spec.name for spec in specs}
    if not declared <= set(real) or (all_of_them and declared != set(real)):
        raise LoadFailed(
            f"the model's {kind}s are not those of serving.json",
            where=serving.model_file,
            why=f"{', '.join(sorted(real))} against {', '.join(sorted(declared))}",
        )
    for spec in specs:
        if spec.dtype == "BYTES" or np.dtype(real[spec.name]["dtype"]) != NUMPY[spec.dtype]:
            raise LoadFailed(
                f"{kind} {spec.name!r} has another type than serving.json says",
                where=serving.model_file,
                why=f"{np.dtype(real[spec.name]['dtype']).name} against {spec.dtype}",
            )
    return {spec.name: int(real[spec.name]["index"]) for spec in specs}


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
