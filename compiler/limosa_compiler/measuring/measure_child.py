"""The child of `footprint`: forks for every model, so that each is loaded into the same fresh memory."""

from __future__ import annotations

import json
import os
import resource
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, Final

from limosa_compiler.arrays import Array, parse_arrays
from limosa_compiler.running.runner import Runner
from limosa_contracts.errors import LimosaError

RUNS: Final = 3  # the first run of a session allocates more than the next
LOADS_MIN: Final = 3
LOADS_MAX: Final = 7
LOADS_SECONDS: Final = 1.0
_STATUS: Final = Path("/proc/self/status")


def main() -> int:
    requests = os.fdopen(0, "rb", buffering=0, closefd=False)
    # A first session on one thread: what the runtime itself takes is there before any model.
    Runner(_exactly(requests, int.from_bytes(_exactly(requests, 4), "big")))
    while length := _exactly(requests, 4):
        head = json.loads(_exactly(requests, int.from_bytes(length, "big")))
        answer = _forked(head, requests)
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()
    return 0


def _forked(head: dict[str, Any], requests: BinaryIO) -> dict[str, object]:
    """What a fresh process says; why it died if it did."""
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(reading)
        _measured(head, requests, writing)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return {"why": f"its process died of {signal.Signals(-code).name}"}
    answer: dict[str, object] = json.loads(said) if said else {"why": f"its process ended with {code}"}
    return answer


def _measured(head: dict[str, Any], requests: BinaryIO, writing: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (head["memory_bytes"], head["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_CPU, (head["cpu_s"], head["cpu_s"] + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(head["wall_s"])  # nobody waits for a model for ever
    before = _status_bytes("VmRSS")
    try:
        model = _exactly(requests, head["model_bytes"])
        row = parse_arrays(_exactly(requests, head["tensor_bytes"]))
        answer: dict[str, object] = _measure(model, row, before)
    except LimosaError as error:
        answer = {"why": error.why or error.what}
    except MemoryError:
        answer = {"why": f"it needs more than {head['memory_bytes']} bytes of memory"}
    except KeyError as error:
        answer = {"why": f"one row has no input {error}"}
    os.write(writing, json.dumps(answer).encode())


def _measure(model: bytes, row: dict[str, Array], before: int | None) -> dict[str, object]:
    begin = time.perf_counter()
    runner = Runner(model)
    loads = [time.perf_counter() - begin]
    for _ in range(RUNS):
        runner.predict(row)
    highest = _status_bytes("VmHWM")
    end = time.perf_counter() + LOADS_SECONDS
    while len(loads) < LOADS_MAX and (len(loads) < LOADS_MIN or time.perf_counter() < end):
        begin = time.perf_counter()
        Runner(model)
        loads.append(time.perf_counter() - begin)
    result: dict[str, object] = {"load_ms": statistics.median(loads) * 1e3}
    if before is not None and highest is not None:
        result["memory_bytes"] = max(0, highest - before)
    return result


def _status_bytes(name: str) -> int | None:
    """Of this process, as Linux counts it; None where the kernel does not tell."""
    if not _STATUS.exists():
        return None
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return None


def _exactly(stream: BinaryIO, count: int) -> bytes:
    """Empty at the end of the stream."""
    data = bytearray()
    while len(data) < count:
        part = stream.read(count - len(data))
        if not part:
            return b""
        data += part
    return bytes(data)


if __name__ == "__main__":
    sys.exit(main())
