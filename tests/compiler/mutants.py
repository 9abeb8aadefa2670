"""Broken models by the hundred: each is looked at in a process of its own, forked from a warm one.

    python -m tests.compiler.mutants ORIGINAL FIRST COUNT      one line of JSON per mutant

Kinds: a bit flipped, a byte replaced, a range cut out, a range doubled, the end cut off; drawn by number.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

MEMORY_BYTES = 2 * 1024**3
CPU_S = 20


def mutant(data: bytes, number: int) -> bytes:
    """The same for the same number."""
    draw = random.Random(number)
    at = draw.randrange(len(data))
    length = draw.randrange(1, 64)
    kind = number % 5
    if kind == 0:
        return data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
    if kind == 2:
        return data[:at] + data[at + length :]
    if kind == 3:
        return data[: at + length] + data[at:]
    return data[:at]


def main() -> int:
    original = Path(sys.argv[1]).read_bytes()
    first, count = int(sys.argv[2]), int(sys.argv[3])
    # Warm: what every fork needs is imported once.
    import limosa_compiler.ingest.in_child
    import limosa_compiler.running.runner  # noqa: F401  # imported for the forks

    for number in range(first, first + count):
        begin = time.monotonic()
        said = _forked(mutant(original, number))
        sys.stdout.write(json.dumps({"number": number, "seconds": time.monotonic() - begin, **said}) + "\n")
        sys.stdout.flush()
    return 0


def _forked(data: bytes) -> dict[str, Any]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.write(writing, json.dumps(_looked_at(data)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        heard = stream.read()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return {"ended": signal.Signals(-code).name}
    answer: dict[str, Any] = json.loads(heard) if heard else {"ended": f"exit {code}"}
    return answer


def _looked_at(data: bytes) -> dict[str, Any]:
    """What the children of a build do with it, in the same order: ingest, then the first rows."""
    import numpy as np

    from limosa_compiler.ingest.in_child import ingest_here
    from limosa_compiler.running.runner import Runner
    from limosa_contracts.errors import LimosaError
    from tests.compiler.graphs import CLASSES, rows

    head = {"where": "mutant.onnx", "source_bytes": len(data), "inputs": {}, "operators": []}
    given = rows(100, seed=9)
    try:
        _, model = ingest_here(head, data)
        runner = Runner(model)
        answers = runner.predict({"x": given["x"]})
        scores = next(iter(answers.values()))
        if scores.shape != (100, CLASSES):
            return {"refused": "shape"}
        return {"accuracy": float(np.mean(scores.argmax(axis=1) == given["label"]))}
    except LimosaError as error:
        return {"refused": error.code}
    except (KeyError, MemoryError, RecursionError) as error:
        return {"refused": type(error).__name__}


if __name__ == "__main__":
    sys.exit(main())
