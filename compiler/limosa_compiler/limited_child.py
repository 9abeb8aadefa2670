"""Runs a foreign model in a child process with limits of memory, CPU and wall time (trust 7.2)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

from limosa_compiler.arrays import Array, Arrays, encode_arrays, parse_arrays
from limosa_compiler.errors import ModelRefused
from limosa_compiler.limits import LIMITS, ChildLimits

_CHILD = "limosa_compiler.model_child"


def run_limited(
    model: bytes, inputs: Arrays, *, what: str, limits: ChildLimits = LIMITS.child
) -> dict[str, Array]:
    """The model's outputs. Raises ModelRefused: why it did not load, did not run, or broke a limit."""
    tensors = encode_arrays(inputs)
    head = json.dumps(
        {
            "memory_bytes": limits.memory_bytes + limits.memory_per_model_byte * len(model),
            "cpu_s": limits.cpu_s,
            "model_bytes": len(model),
            "tensor_bytes": len(tensors),
        }
    )
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", _CHILD],
            input=head.encode() + b"\n" + model + tensors,
            capture_output=True,
            timeout=limits.wall_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelRefused(
            "the model does not answer in time", where=what, why=f"stopped after {limits.wall_s:g} s"
        ) from error
    if done.returncode != 0 or len(done.stdout) > limits.answer_max_bytes:
        raise ModelRefused(
            "the model does not load or run within its limits", where=what, why=_why(done, limits)
        )
    return parse_arrays(done.stdout)


def _why(done: subprocess.CompletedProcess[bytes], limits: ChildLimits) -> str:
    if done.returncode == -signal.SIGXCPU or done.returncode == -signal.SIGKILL:
        return f"its process was ended: more than {limits.cpu_s} s of CPU time, or out of memory"
    if done.returncode < 0:
        return f"its process died of {signal.Signals(-done.returncode).name}"
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[-1][:300] if said else f"its answer has {len(done.stdout)} bytes"
