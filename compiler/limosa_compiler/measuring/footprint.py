"""Peak memory and load time of a model, each in a process of its own (compiler 2.6)."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from onnx import TensorProto, helper

from limosa_compiler.arrays import Arrays, encode_arrays
from limosa_compiler.limits import LIMITS, ChildLimits
from limosa_contracts.errors import InvalidArtifact

_CHILD: Final = "limosa_compiler.measuring.measure_child"


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """None where it could not be measured; `why` says so."""

    memory_bytes: int | None = None  # highest resident memory, minus that of runtime and Python alone
    load_ms: float | None = None  # median of several sessions made in a fresh process
    why: str = ""


NOT_MEASURED: Final = Footprint(why="not measured")


class FootprintMeter:
    """One child that has the runtime loaded, and forks a process for every model that is measured.

    So each starts from the same memory, and the cost of importing the runtime is paid once.
    """

    def __init__(self, *, limits: ChildLimits = LIMITS.child) -> None:
        self._limits = limits
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def of(self, model: bytes, row: Arrays) -> Footprint:
        """`row`: inputs for one run. A model that does not load or run there is not measured."""
        try:
            tensors = encode_arrays(row)
        except InvalidArtifact as error:
            return Footprint(why=str(error.why or error.what))
        head = {
            "memory_bytes": self._limits.memory_bytes + self._limits.memory_per_model_byte * len(model),
            "cpu_s": self._limits.cpu_s,
            "wall_s": round(self._limits.wall_s),
            "model_bytes": len(model),
            "tensor_bytes": len(tensors),
        }
        said = self._ask(json.dumps(head).encode(), model, tensors)
        memory, load = said.get("memory_bytes"), said.get("load_ms")
        return Footprint(
            memory_bytes=memory if isinstance(memory, int) else None,
            load_ms=load if isinstance(load, float) else None,
            why=str(said.get("why", "")),
        )

    def _ask(self, head: bytes, model: bytes, tensors: bytes) -> dict[str, object]:
        child = self._started()
        if child.stdin is None or child.stdout is None:
            return {"why": "the child has no pipes"}
        try:
            for part in (len(head).to_bytes(4, "big"), head, model, tensors):
                child.stdin.write(part)
            child.stdin.flush()
            line = child.stdout.readline()
            answer = json.loads(line) if line else {"why": "the child ended"}
        except (BrokenPipeError, ValueError):
            answer = {"why": "the child ended before it had read the model"}
        if "why" in answer:
            self._end()  # what it had not read is still in the pipe
        return answer if isinstance(answer, dict) else {"why": "the child answered no object"}

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-m", _CHILD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            if self._child.stdin is not None:
                first = _first_model()
                self._child.stdin.write(len(first).to_bytes(4, "big") + first)
        return self._child

    def _end(self) -> None:
        if self._child is None:
            return
        self._child.kill()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue  # it held bytes that nobody will read
        self._child.wait()
        self._child = None


def _first_model() -> bytes:
    """y = x w, so small that it takes nothing."""
    first = helper.make_model(
        helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "first",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
            [helper.make_tensor("w", TensorProto.FLOAT, [1, 1], [1.0])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    return bytes(first.SerializeToString())
