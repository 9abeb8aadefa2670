"""onnxruntime behind the one method that serving needs (agent 5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as raised

from limosa_agent.serving.errors import InferenceFailed, LoadFailed
from limosa_agent.serving.tensor_codec import Array
from limosa_contracts.serving import Serving

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


class Runtime(Protocol):
    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name. Raises InferenceFailed."""


class OnnxRuntime:
    def __init__(self, model: bytes, serving: Serving, *, intra_op_threads: int) -> None:
        """Loads from bytes that were verified, not from a path. Raises LoadFailed."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = intra_op_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # fatal; errors are raised, and reported once
        options.enable_cpu_mem_arena = True  # agent 5.4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except RUNTIME_ERRORS as error:
            raise LoadFailed(
                "the model does not load", where=serving.model_file, why=_short(error)
            ) from error
        self._outputs: Final = [spec.name for spec in serving.outputs]
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


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
