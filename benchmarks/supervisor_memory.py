"""What the supervisor keeps in memory: `python benchmarks/supervisor_memory.py`.

One real fleet: server with its broker (mutual TLS where mosquitto is installed), one enrolled device
that got its first model by a rollout. Resident set size (RSS: shared pages count whole), of the
supervisor alone; the bar is agent 1's. `agent_overhead.py` measures the same among other things.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from limosa_devices.demo.releases import NAME, STORIES, build
from limosa_devices.demo.world import BIN, GROUP, World, broker_here

SETTLE_S: Final = 8.0
IDLE_MAX_BYTES: Final = 40_000_000  # agent 1
RAPID: Final = "poll_interval_s"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes of RSS, and over what the device was connected meanwhile."""

    updated: int  # the supervisor, after it enrolled, started empty and took its first release
    idle: int  # the same device started again: one model serves, MQTT is up, nothing happens
    worker: int  # the serving worker beside it, with the demo's model
    link: str


def supervisor_memory(folder: Path) -> Memory:
    """Raises what the demo's world raises, if a part of it does not come up."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")  # compiled once, as where it is installed
    world = World(folder=folder, devices_wanted=1, proxied=0, broker=broker_here())
    try:
        world.start_server()
        world.start_devices()
        _roll_out(world)
        time.sleep(SETTLE_S)
        updated = _rss(_supervisor(world))
        _start_again(world)
        pid = _supervisor(world)
        link = f"{world.url.partition(':')[0]} and {'MQTT over TLS' if world.tls else 'plain MQTT'}"
        return Memory(updated=updated, idle=_rss(pid), worker=sum(map(_rss, _children(pid))), link=link)
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


def _start_again(world: World) -> None:
    device = world.devices[0]
    assert device.process is not None
    device.process.stop()
    lines = device.config.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(RAPID)]
    device.config.write_text("\n".join(kept) + "\n", encoding="utf-8")
    world.start_agent(device)
    world.await_agent(device)
    time.sleep(SETTLE_S)
    command = [str(BIN / "limosa-agent"), "status", "--json", "--config", str(device.config)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if '"mqtt": "up"' not in said or f'"serving": "{STORIES[0].version}"' not in said:
        raise SystemExit(f"the agent is not at rest: {said}")


def _supervisor(world: World) -> int:
    process = world.devices[0].process
    assert process is not None
    return process.popen.pid


def _rss(pid: int) -> int:
    return int((Path("/proc") / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _children(pid: int) -> list[int]:
    text = (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text()
    return [int(word) for word in text.split()]


def main(words: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory() as name:
        memory = supervisor_memory(Path(name))
    rows = [{"what": what, "rss_bytes": getattr(memory, what)} for what in ("updated", "idle", "worker")]
    for row in rows:
        sys.stdout.write(f"{row['what']:<8} {row['rss_bytes'] / 2**20:6.1f} MiB\n")
    sys.stdout.write(f"over {memory.link}\n")
    if "--json" in words:
        versions = {name: version(name) for name in ("limosa", "cryptography", "paho-mqtt")}
        machine = {"cores": os.cpu_count(), "machine": platform.machine(), "system": platform.system()}
        bar = {"name": "supervisor idle RSS, bytes", "limit": IDLE_MAX_BYTES, "value": memory.idle}
        bars = [{**bar, "ok": memory.idle <= IDLE_MAX_BYTES}]
        line = {"versions": versions, "machine": machine, "rows": rows, "bars": bars}
        sys.stdout.write(json.dumps(line) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
