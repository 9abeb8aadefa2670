"""Two clients: wrk with one fixed JSON body, and tritonclient with binary tensors and unique ids."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))  # what lies beside the packages

import numpy as np

from benchmarks.serving_peers.models import bench_models
from benchmarks.serving_peers.servers import LISTENS, Target

SCRIPT: Final = """
local file = io.open(os.getenv("WRK_BODY"), "rb")
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/json"
file:close()
function done(summary, latency, requests)
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
      + summary.errors.timeout))
end
"""
EXTRA_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Requests per second; microseconds; answers that were no 2xx, and broken connections."""

    rate: float
    p50_us: float
    p99_us: float
    failed: int


class WrkMissing(Exception):
    def __init__(self) -> None:
        super().__init__("wrk is not in PATH; on Debian: apt-get install wrk")


def wrk(target: Target, *, connections: int, seconds: float) -> Measured:
    """One thread of wrk, whatever the connections: the same client for all. Raises WrkMissing."""
    program = shutil.which("wrk")
    if program is None:
        raise WrkMissing
    with tempfile.TemporaryDirectory() as name:
        script, body = Path(name) / "post.lua", Path(name) / "body"
        script.write_text(SCRIPT, encoding="utf-8")
        body.write_bytes(target.body)
        url = f"http://{LISTENS}:{target.port}{target.path}"
        words = [program, "-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "10s"]
        ran = subprocess.run(
            [*words, "-s", str(script), url],
            env={"WRK_BODY": str(body), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + EXTRA_S,
        )
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", ran.stdout)
    if found is None:
        raise RuntimeError(f"wrk said no result: {ran.stdout[-500:]}")
    requests, spent_us, p50, p99, failed = map(int, found.groups())
    return Measured(rate=requests / spent_us * 1e6, p50_us=p50, p99_us=p99, failed=failed)


def triton(target: Target, model: str, *, connections: int, seconds: float) -> Measured:
    """In a process of its own."""
    words = [str(target.port), target.model, model, str(connections), str(seconds)]
    ran = subprocess.run(
        [sys.executable, __file__, *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + EXTRA_S,
    )
    return Measured(**json.loads(ran.stdout))


def _triton_child(port: int, served: str, model: str, connections: int, seconds: float) -> Measured:
    """`connections` greenlets over one client, which is how its `concurrency` is meant."""
    import gevent
    from tritonclient import http

    row = next(item for item in bench_models() if item.name == model).row
    client = http.InferenceServerClient(f"{LISTENS}:{port}", concurrency=connections)
    wanted = [http.InferRequestedOutput("y", binary_data=True)]
    spent: list[float] = []  # microseconds

    def ask(number: int, until: float) -> None:
        began, count = time.perf_counter(), 0
        while began < until:
            tensor = http.InferInput("x", list(row.shape), "FP32")
            tensor.set_data_from_numpy(row, binary_data=True)
            answer = client.infer(served, [tensor], outputs=wanted, request_id=f"{number}-{count}")
            if answer.as_numpy("y").shape[0] != 1:
                raise RuntimeError("an answer without a row")
            now = time.perf_counter()
            spent.append((now - began) * 1e6)
            began, count = now, count + 1

    begun = time.perf_counter()
    gevent.joinall(
        [gevent.spawn(ask, number, begun + seconds) for number in range(connections)], raise_error=True
    )
    over = time.perf_counter() - begun
    client.close()
    p50, p99 = (float(value) for value in np.percentile(np.array(spent), [50, 99]))
    return Measured(rate=len(spent) / over, p50_us=p50, p99_us=p99, failed=0)


if __name__ == "__main__":
    _, port_, served_, model_, connections_, seconds_ = sys.argv
    measured = _triton_child(int(port_), served_, model_, int(connections_), float(seconds_))
    sys.stdout.write(json.dumps({name: getattr(measured, name) for name in Measured.__slots__}))
