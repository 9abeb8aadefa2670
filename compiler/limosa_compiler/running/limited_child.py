"""Runs work on a foreign model in a child process with limits of memory, CPU and wall time (trust 7.2)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from limosa_compiler.arrays import Array, Arrays, encode_arrays, parse_arrays
from limosa_compiler.errors import ModelRefused
from limosa_compiler.limits import LIMITS, ChildLimits
from limosa_contracts.errors import LimosaError, known_errors
from limosa_contracts.json_value import JsonObject, JsonValue

_CHILD = "limosa_compiler.running.model_child"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a model answered, and what memory the rows took beyond the loaded model."""

    outputs: Mapping[str, Array]
    run_bytes: int


def run_limited(
    model: bytes, inputs: Arrays, *, what: str, limits: ChildLimits = LIMITS.child
) -> dict[str, Array]:
    """The model's outputs. Raises ModelRefused: why it did not load, did not run, or broke a limit."""
    return dict(answer_limited(model, inputs, what=what, limits=limits).outputs)


def answer_limited(
    model: bytes, inputs: Arrays, *, what: str, limits: ChildLimits = LIMITS.child
) -> Answered:
    """As `run_limited`, with the memory that it took."""
    said, data = call_limited(
        {"task": "run", "what": what}, model, encode_arrays(inputs), what=what, limits=limits
    )
    run_bytes = said.get("run_bytes")
    return Answered(outputs=parse_arrays(data), run_bytes=run_bytes if isinstance(run_bytes, int) else 0)


def call_limited(
    head: Mapping[str, JsonValue],
    model: bytes,
    tensors: bytes,
    *,
    what: str,
    limits: ChildLimits = LIMITS.child,
) -> tuple[JsonObject, bytes]:
    """(what the child says, its data) for one task of `model_child`.

    Raises ModelRefused if the child broke a limit or died, else the error that it met.
    """
    line = json.dumps(
        {
            **head,
            "memory_bytes": limits.memory_bytes + limits.memory_per_model_byte * len(model),
            "cpu_s": limits.cpu_s,
            "model_bytes": len(model),
            "tensor_bytes": len(tensors),
        }
    )
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", _CHILD],
            input=line.encode() + b"\n" + model + tensors,
            capture_output=True,
            timeout=limits.wall_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelRefused(
            "the model does not answer in time", where=what, why=f"stopped after {limits.wall_s:g} s"
        ) from error
    if done.returncode != 0 or len(done.stdout) > limits.answer_max_bytes + len(model):
        raise ModelRefused(
            "the model does not load or run within its limits", where=what, why=_why(done, limits)
        )
    first, _, data = done.stdout.partition(b"\n")
    said = cast("JsonObject", json.loads(first))
    _raise_if_refused(said)
    return said, data


def _raise_if_refused(said: JsonObject) -> None:
    error = said.get("error")
    if not isinstance(error, Mapping):
        return
    what, where, why, hint = (str(error.get(key, "")) for key in ("what", "where", "why", "hint"))
    kind: type[LimosaError] = known_errors().get(str(error.get("code")), ModelRefused)
    raise kind(what, where=where, why=why, hint=hint)


def _why(done: subprocess.CompletedProcess[bytes], limits: ChildLimits) -> str:
    if done.returncode == -signal.SIGXCPU or done.returncode == -signal.SIGKILL:
        return f"its process was ended: more than {limits.cpu_s} s of CPU time, or out of memory"
    if done.returncode < 0:
        return f"its process died of {signal.Signals(-done.returncode).name}"
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[-1][:300] if said else f"its answer has {len(done.stdout)} bytes"
