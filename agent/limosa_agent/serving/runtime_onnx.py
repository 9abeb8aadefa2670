"""onnxruntime behind the one method that serving needs (agent 5.3)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as raised

from limosa_agent.capabilities import cpu_features
from limosa_agent.serving.errors import InferenceFailed, LoadFailed
from limosa_agent.serving.graph_cache import GraphKey, model_digest
from limosa_agent.serving.runtime_options import CPU, RuntimeOptions
from limosa_agent.serving.tensor_codec import Array
from limosa_contracts.serving import Serving

NAME: Final = "onnxruntime"
RUNTIME_ERRORS: Final[tuple[type[Exception], ...]] = (
    raised.EPFail,
    raised.EngineError,
    raised.Fail,
    raised.InvalidArgument,
    raised.InvalidGraph,
    raised.InvalidProtobuf,
    raised.ModelLoaded,
    raised.NoModel,
    raised.NoSuchFile,
    raised.NotImplemented,
    raised.RuntimeException,
    RuntimeError,
    ValueError,
    TypeError,
    MemoryError,
)
"""The binding derives its errors from Exception one by one."""


class OnnxRuntime:
    wants_graph = False

    def __init__(self, model: bytes, serving: Serving, options: RuntimeOptions) -> None:
        """Loads from bytes that were verified, not from a path. Raises LoadFailed."""
        self._bind(model, serving, options, session_options(options))

    @classmethod
    def of_graph(cls, graph: bytes, serving: Serving, options: RuntimeOptions) -> Self:
        """Loads an optimised graph that `optimised_graph` made here. Raises LoadFailed."""
        prepared = session_options(options)
        prepared.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        prepared.add_session_config_entry("session.load_model_format", "ORT")
        runtime = cls.__new__(cls)
        runtime._bind(graph, serving, options, prepared)
        return runtime

    def _bind(
        self,
        model: bytes,
        serving: Serving,
        options: RuntimeOptions,
        prepared: onnxruntime.SessionOptions,
    ) -> None:
        providers = list(options.usable(tuple(onnxruntime.get_available_providers())))
        try:
            self._session = onnxruntime.InferenceSession(model, prepared, providers=providers)
        except RUNTIME_ERRORS as error:
            raise LoadFailed(
                "the model does not load", where=serving.model_file, why=_short(error)
            ) from error
        self._session._model_bytes = None  # it keeps them for other providers: the model's size in memory
        self._outputs = [spec.name for spec in serving.outputs]
        for kind, declared, real in (
            ("input", [spec.name for spec in serving.inputs], self._session.get_inputs()),
            ("output", self._outputs, self._session.get_outputs()),
        ):
            names = {node.name for node in real}
            if not set(declared) <= names or (kind == "input" and set(declared) != names):
                raise LoadFailed(
                    f"the model's {kind}s are not those of serving.json",
                    where=serving.model_file,
                    why=f"{', '.join(sorted(names))} against {', '.join(sorted(declared))}",
                )
        self._run = self._session.run

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            values = self._run(self._outputs, inputs)
        except RUNTIME_ERRORS as error:
            raise InferenceFailed("the model failed on this input", why=_short(error)) from error
        if len(values) == 1:
            return {self._outputs[0]: values[0]}  # the usual case, without the detour of a zip
        return dict(zip(self._outputs, values, strict=True))


def session_options(options: RuntimeOptions) -> onnxruntime.SessionOptions:
    prepared = onnxruntime.SessionOptions()
    prepared.intra_op_num_threads = options.intra_op_threads or 1
    prepared.inter_op_num_threads = 1
    prepared.log_severity_level = 4  # fatal; errors are raised, and reported once
    prepared.enable_cpu_mem_arena = options.arena
    prepared.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return prepared


def graph_key(folder: Path, serving: Serving, options: RuntimeOptions) -> GraphKey | None:
    """What the optimised graph of this slot is bound to; None where none is to be used.

    Other providers than the processor's take parts out of the graph that cannot be written to a file.
    """
    if not options.graph_cache or options.usable(tuple(onnxruntime.get_available_providers())) != (CPU,):
        return None
    flags = " ".join((os.uname().machine, *cpu_features()))
    try:
        digest = model_digest(folder, serving.model_file)
    except OSError as error:
        raise LoadFailed("a file of the slot cannot be read", where=str(folder), why=str(error)) from error
    return GraphKey(
        model_sha256=digest,
        runtime=NAME,
        version=onnxruntime.__version__,
        options=options.shapes_graph,
        cpu=hashlib.sha256(flags.encode()).hexdigest(),
    )


def optimised_graph(model: bytes, serving: Serving, options: RuntimeOptions, scratch: Path) -> bytes:
    """The model as onnxruntime optimises it for this processor, in its own format.

    `scratch`: a file to write to, removed again. Raises LoadFailed, OSError.
    """
    prepared = session_options(options)
    prepared.optimized_model_filepath = str(scratch)
    prepared.add_session_config_entry("session.save_model_format", "ORT")
    try:
        onnxruntime.InferenceSession(model, prepared, providers=[CPU])
        return scratch.read_bytes()
    except RUNTIME_ERRORS as error:
        raise LoadFailed("the model does not load", where=serving.model_file, why=_short(error)) from error
    finally:
        scratch.unlink(missing_ok=True)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
