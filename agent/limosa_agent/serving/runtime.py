"""What serving needs of a runtime, and which runtimes this device has (agent 5.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from limosa_agent.serving.errors import LoadFailed
from limosa_agent.serving.files import read_bounded
from limosa_agent.serving.runtime_options import RuntimeOptions
from limosa_agent.serving.tensor_codec import Array
from limosa_contracts.limits import LIMITS
from limosa_contracts.serving import FILE, Serving


class Runtime(Protocol):
    wants_graph: bool  # an optimised graph may be used, and none was found

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name. Thread-safe. Raises InferenceFailed."""


def load_runtime(folder: Path, serving: Serving, options: RuntimeOptions) -> Runtime:
    """The model of a slot in the runtime that its serving.json names. Raises LoadFailed."""
    load = LOADERS.get(serving.runtime)
    if load is None:
        raise LoadFailed(f"runtime {serving.runtime!r} is not known here", where=FILE)
    if Path(serving.model_file).name != serving.model_file:
        raise LoadFailed("model_file is no plain file name", where=FILE)
    return load(folder, serving, options)


def _load_onnx(folder: Path, serving: Serving, options: RuntimeOptions) -> Runtime:
    from limosa_agent.serving.graph_cache import read_graph
    from limosa_agent.serving.runtime_onnx import OnnxRuntime, graph_key

    key = graph_key(folder, serving, options)
    graph = read_graph(folder, key) if key is not None else None
    if graph is not None:
        return OnnxRuntime.of_graph(graph, serving, options)
    runtime = OnnxRuntime(_model(folder, serving), serving, options)
    runtime.wants_graph = key is not None
    return runtime


def _load_litert(folder: Path, serving: Serving, options: RuntimeOptions) -> Runtime:
    from limosa_agent.serving.runtime_litert import LitertRuntime

    return LitertRuntime(_model(folder, serving), serving, options)


def _model(folder: Path, serving: Serving) -> bytes:
    return read_bounded(folder / serving.model_file, LIMITS.blob_max_bytes)


LOADERS: Final[Mapping[str, Callable[[Path, Serving, RuntimeOptions], Runtime]]] = {
    "onnxruntime": _load_onnx,
    "litert": _load_litert,
}
