"""A device at rest: one real fleet, one enrolled device with its first model, and nothing to do.

The server is real, with its broker (mutual TLS where mosquitto is installed). Memory is the resident set
size (RSS: pages that processes share count whole in each).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from limosa_devices.demo.proxy import CHUNK_BYTES, CutProxy
from limosa_devices.demo.releases import NAME, STORIES, build
from limosa_devices.demo.world import BIN, GROUP, World, broker_here

SETTLE_S: Final = 8.0
EXCHANGES_S: Final = 45.0  # without a broker an exchange over HTTPS is due every 10 s, jittered
DAY_S: Final = 86400.0
HOURS: Final = 24
FAST: Final = "poll_interval_s"
"""The demo's key for short times; a device at rest has the default, an hour."""
ROLLOUT: Final = f"""
release = "{NAME}@{STORIES[0].version}"
group = "{GROUP}"
[[waves]]
name = "all"
percent = 100
bake = "1s"
[trial]
inferences = 20
seconds = 1
"""
BARE: Final = """
import json, os, sys
from pathlib import Path
import numpy as np, onnxruntime
folder = Path(sys.argv[1])
model = (folder / json.loads((folder / "serving.json").read_text())["model_file"]).read_bytes()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}
shapes = {one.name: [n if isinstance(n, int) else 1 for n in one.shape] for one in session.get_inputs()}
session.run(None, {one.name: np.zeros(shapes[one.name], kinds[one.type]) for one in session.get_inputs()})
del model
print(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"))
"""


class CountingProxy(CutProxy):
    """Counts what goes through, both ways together."""

    def __init__(self, target: int) -> None:
        self.bytes = 0
        self.connections = 0
        self._count = threading.Lock()
        super().__init__(target)

    def _carry(self, pair: tuple[socket.socket, socket.socket]) -> None:
        self.connections += 1
        super()._carry(pair)

    def _pump(
        self, pair: tuple[socket.socket, socket.socket], source: socket.socket, sink: socket.socket
    ) -> None:
        with suppress(OSError):  # either end went away: the pair is dropped below
            while chunk := source.recv(CHUNK_BYTES):
                with self._count:
                    self.bytes += len(chunk)
                sink.sendall(chunk)
        self._drop(pair)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Memory in bytes of RSS. Network: payload of TCP both ways, its headers not counted."""

    updated: int  # the supervisor, after it enrolled, started empty and took its first release
    supervisor: int  # the same device started again: one model serves, MQTT is up, nothing happens
    worker: int
    bare: int  # a process with onnxruntime and numpy that ran the same model
    seconds: float  # how long it rested
    cpu_percent: float  # of one core: supervisor and worker together
    mqtt_bytes_per_day: float
    start_bytes: int  # connecting and the whole report; bounds what an hour's report takes
    https_exchange_bytes: float  # one exchange while there is no broker: token, reports, desired state
    link: str

    @property
    def bytes_per_day(self) -> float:
        """MQTT is up; an hourly report is counted as a whole new start, which is too much."""
        return self.mqtt_bytes_per_day + HOURS * self.start_bytes


def rest(folder: Path, *, seconds: float) -> Rest:
    """Raises what the demo's world raises, if a part of it does not come up."""
    folder.mkdir(parents=True, exist_ok=True)
    world = World(folder=folder, devices_wanted=1, proxied=0, broker=broker_here())
    try:
        world.start_server()
        world.start_devices()
        _roll_out(world)
        time.sleep(SETTLE_S)
        updated = _rss(_supervisor(world))
        web, mqtt = _start_again(world)
        pid = _supervisor(world)
        (worker,) = _children(pid)
        started, before, began = web.bytes + mqtt.bytes, _cpu_seconds(pid, worker), time.monotonic()
        at_start = mqtt.bytes
        time.sleep(seconds)
        took = time.monotonic() - began
        spent = _cpu_seconds(pid, worker) - before
        memory = (_rss(pid), _rss(worker))
        moved = mqtt.bytes - at_start
        exchange = _exchange_bytes(world, web)
        return Rest(
            updated=updated,
            supervisor=memory[0],
            worker=memory[1],
            bare=_bare(world),
            seconds=took,
            cpu_percent=100 * spent / took,
            mqtt_bytes_per_day=moved * DAY_S / took,
            start_bytes=started,
            https_exchange_bytes=exchange,
            link=f"{world.url.partition(':')[0]} and {'MQTT over TLS' if world.tls else 'plain MQTT'}",
        )
    finally:
        world.stop()


def _roll_out(world: World) -> None:
    archive = build(world.processes, world.folder / "releases", STORIES[0], limosa=str(BIN / "limosa"))
    world.limosa("publish", str(archive), "--offline", str(world.offline_keys))
    spec = world.folder / "rollout.toml"
    spec.write_text(ROLLOUT, encoding="utf-8")
    number = int(str(world.limosa("rollout", "start", str(spec))["id"]))
    status = world.await_rollout(number, ("COMPLETED", "FAILED", "ROLLED_BACK"), timeout_s=120)
    if status != "COMPLETED":
        raise SystemExit(f"the rollout ended {status}; logs in {world.folder}")


def _start_again(world: World) -> tuple[CountingProxy, CountingProxy]:
    """With the default times, and through relays that count: before the server, before the broker."""
    web = CountingProxy(int(urlsplit(world.url).port or 0))
    mqtt = CountingProxy(int(str(world.server["mqtt"]).rpartition(":")[2]))
    world.proxies += [web, mqtt]
    _configure(world, {"server": _through(world, web), "broker": f"127.0.0.1:{mqtt.port}"}, without=FAST)
    said = _status(world)
    if '"mqtt": "up"' not in said or f'"serving": "{STORIES[0].version}"' not in said:
        raise SystemExit(f"the agent is not at rest: {said}")
    return web, mqtt


def _exchange_bytes(world: World, web: CountingProxy) -> float:
    """The broker is gone: everything goes over HTTPS. Bytes of one connection, its handshake with it."""
    _configure(world, {"broker": "127.0.0.1:1"}, without="broker")
    bytes_before, before = web.bytes, web.connections
    time.sleep(EXCHANGES_S)
    return (web.bytes - bytes_before) / max(1, web.connections - before)


def _through(world: World, web: CountingProxy) -> str:
    return f"{urlsplit(world.url).scheme}://127.0.0.1:{web.port}"


def _configure(world: World, values: dict[str, str], *, without: str) -> None:
    """Writes the keys, starts the agent again, and lets it settle."""
    device = world.devices[0]
    assert device.process is not None
    device.process.stop()
    gone = (*values, without)
    lines = device.config.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.partition("=")[0].strip() not in gone]
    kept += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    device.config.write_text("\n".join(kept) + "\n", encoding="utf-8")
    world.start_agent(device)
    world.await_agent(device)
    time.sleep(SETTLE_S)


def _status(world: World) -> str:
    command = [str(BIN / "limosa-agent"), "status", "--json", "--config", str(world.devices[0].config)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _bare(world: World) -> int:
    (current,) = (world.devices[0].folder / "state" / "models").glob("*/*/current")
    environment = {
        **os.environ,
        "MALLOC_TRIM_THRESHOLD_": "65536",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", BARE, str(current.resolve())],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return int(done.stdout)


def _supervisor(world: World) -> int:
    process = world.devices[0].process
    assert process is not None
    return process.popen.pid


def _rss(pid: int) -> int:
    return int((Path("/proc") / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _cpu_seconds(*pids: int) -> float:
    """User and system time of all threads."""
    ticks = 0
    for pid in pids:
        fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    text = (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text()
    return [int(word) for word in text.split()]
