"""The child of `limited_child`: does one task on a foreign model under limits of its own.

Stdin: a line of JSON, the model, tensors. Stdout: a line of JSON (an `error`, or facts), then data.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

Head = Mapping[str, Any]
Done = tuple[dict[str, Any], bytes]


def main() -> int:
    head = json.loads(sys.stdin.buffer.readline())
    set_limits(head)
    model = sys.stdin.buffer.read(head["model_bytes"])
    tensors = sys.stdin.buffer.read(head["tensor_bytes"])

    from limosa_contracts.errors import LimosaError

    try:
        said, data = TASKS[head["task"]](head, model, tensors)
    except LimosaError as error:
        said, data = {"error": {**error.as_json(), "evidence": {}}}, b""
    except MemoryError:
        sys.stderr.write(f"it needs more than {head['memory_bytes']} bytes of memory\n")
        return 1
    except RecursionError:
        sys.stderr.write("its graph lies too deep within itself\n")
        return 1
    sys.stdout.buffer.write(json.dumps(said).encode() + b"\n" + data)
    return 0


def set_limits(head: Head) -> None:
    """Before the runtime is imported: what it maps counts as well."""
    resource.setrlimit(resource.RLIMIT_AS, (head["memory_bytes"], head["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_CPU, (head["cpu_s"], head["cpu_s"] + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run_model(head: Head, model: bytes, tensors: bytes) -> Done:
    """Outputs of the model for the given inputs."""
    from limosa_compiler.arrays import encode_arrays, parse_arrays
    from limosa_compiler.running.runner import Runner

    runner = Runner(model, what=head["what"])
    before = _peak_bytes()
    outputs = runner.predict(parse_arrays(tensors))
    return {"run_bytes": _peak_bytes() - before}, encode_arrays(outputs)


def ingest_model(head: Head, model: bytes, _: bytes) -> Done:
    """The model after the passes of ingest, with their reports."""
    from limosa_compiler.ingest.in_child import ingest_here

    return ingest_here(head, model)


TASKS: Final[Mapping[str, Callable[[Head, bytes, bytes], Done]]] = {
    "run": run_model,
    "ingest": ingest_model,
}


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
