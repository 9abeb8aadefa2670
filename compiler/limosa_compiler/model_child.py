"""The child of `limited_child`: reads a model and inputs, answers with outputs, under its own limits."""

from __future__ import annotations

import json
import resource
import sys


def main() -> int:
    head = json.loads(sys.stdin.buffer.readline())
    # Before the runtime is imported: what it maps counts as well.
    resource.setrlimit(resource.RLIMIT_AS, (head["memory_bytes"], head["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_CPU, (head["cpu_s"], head["cpu_s"] + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    model = sys.stdin.buffer.read(head["model_bytes"])
    tensors = sys.stdin.buffer.read(head["tensor_bytes"])

    from limosa_compiler.arrays import encode_arrays, parse_arrays
    from limosa_compiler.runner import Runner
    from limosa_contracts.errors import LimosaError

    try:
        outputs = Runner(model).predict(parse_arrays(tensors))
    except LimosaError as error:
        sys.stderr.write(f"{error.why or error.what}\n")
        return 1
    except MemoryError:
        sys.stderr.write(f"it needs more than {head['memory_bytes']} bytes of memory\n")
        return 1
    sys.stdout.buffer.write(encode_arrays(outputs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
