"""Ten thousand devices: connected, one release to all of them in three waves, and a broker that restarts.

    python benchmarks/fleet_scale.py [--devices N] [--database URL] [--quick] [--json]

Real MQTT connections to a real mosquitto, a real server process with its database, devices simulated by
two processes that sign what they say with P-256 (limosa_devices.simulator). Plain TCP on loopback. Beside
it, in the same run, the bare broker: documents of the same size to as many devices, which answer with as
many messages of the same size, and nobody who checks or stores anything. What of the difference is
cryptography is a row of its own: two messages signed by each device, and verified, as CPU time.

Waves do not bake, nobody is held back as a control and the rate does not bound: what is timed is work, not
waiting that a rollout file asks for.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.bars import Bar, finish, print_table
from benchmarks.fleet.known import GROUP, MODEL, VERSIONS, index_of, know
from benchmarks.fleet.server import Server, broker_of, free_port, make_keys, running_server
from limosa_contracts.report_message import ReportMessage
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_contracts.topics import Suffix, device_topic, every_device
from limosa_devices.simulator import mqtt_wire as wire
from limosa_server.mqtt.broker_config import mosquitto_config
from limosa_server.settings import ServerLimits

SWARMS: Final = 2
SPARE_FILES: Final = 500
PATIENCE_S: Final = 300.0
REPLIES: Final = 2  # an event and `reported`
DOCUMENT_BYTES: Final = 1100
REPLY_BYTES: Final = 650
BARE_ROUNDS: Final = 3
SIGNED: Final = 500  # devices whose signatures are timed; the rest costs the same
ASKED_EVERY_S: Final = 0.25  # how often the benchmark asks whether the rollout has ended: that costs CPU too
RATIO_MAX: Final = 3.0
ROLLOUT: Final = {
    "release": f"{MODEL}@{VERSIONS[1]}",
    "group": GROUP,
    "waves": [
        {"name": "canary", "percent": 2, "bake": "0s"},
        {"name": "third", "percent": 33, "bake": "0s"},
        {"name": "rest", "bake": "0s"},
    ],
    "rate": {"maximum_per_minute": 1_000_000},
    "control": {"percent": 0},
}


@dataclass(slots=True)
class Swarms:
    """What the processes last said."""

    processes: list[subprocess.Popen[str]]
    said: dict[int, dict[str, float]] = field(default_factory=dict)
    buffers: dict[int, str] = field(default_factory=dict)

    def read(self, seconds: float) -> None:
        pipes = {process.stdout.fileno(): process for process in self.processes if process.stdout}
        ready, _, _ = select.select(list(pipes), [], [], seconds)
        for number in ready:
            *lines, rest = (self.buffers.get(number, "") + os.read(number, 65536).decode()).split("\n")
            self.buffers[number] = rest
            for line in lines:
                self.said[number] = json.loads(line)
            if pipes[number].poll() is not None:
                raise SystemExit("a swarm ended")

    def total(self, what: str) -> int:
        return int(sum(said[what] for said in self.said.values()))

    @property
    def last_at(self) -> float:
        return max(said["at"] for said in self.said.values())

    def wait(self, what: str, number: int) -> None:
        wait_for(lambda: self.total(what) >= number, f"{what} {number}", pause=lambda: self.read(0.05))


def wait_for(fact: Callable[[], bool], what: str, *, pause: Callable[[], None]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not fact():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {PATIENCE_S:g} s: {what}")
        pause()


@contextlib.contextmanager
def swarms(folder: Path, names: Sequence[str], **config: object) -> Iterator[Swarms]:
    processes = []
    for at in range(SWARMS):
        path = folder / f"swarm{at}.json"
        path.write_text(json.dumps({**config, "names": names[at::SWARMS]}))
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "limosa_devices.simulator.swarm", str(path)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
            )
        )  # fmt: skip
    try:
        yield Swarms(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--database", default="", help="of PostgreSQL, empty; without it SQLite")
    parser.add_argument("--quick", action="store_true", help="500 devices")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        sys.stderr.write("mosquitto is not installed: apt-get install mosquitto\n")
        return 1
    devices = min(500 if asked.quick else asked.devices, files_allowed())
    names = [f"dev-{at:06}" for at in range(devices)]
    sys.stderr.write(f"{devices} devices\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare_s = statistics.median(bare(folder / f"bare{at}", program, names) for at in range(BARE_ROUNDS))
        row = ours(folder / "ours", names, asked.database)
    row["bare broker, s"] = round(bare_s, 2)
    row["signing and verifying alone, CPU s"] = round(cryptography_s(devices), 2)
    row["over bare"] = round(float(row["rollout, s"]) / bare_s, 2)
    print_table([{"what": what, "value": value} for what, value in row.items()])
    bars = [Bar(name="converged over bare broker", limit=RATIO_MAX, value=row["over bare"])]
    return finish([row], bars, as_json=asked.json, packages=("limosa", "paho-mqtt", "sqlmodel"))


def files_allowed() -> int:
    """Connections that one process may hold: the broker holds all of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - SPARE_FILES if hard != resource.RLIM_INFINITY else 10**9


def ours(folder: Path, names: Sequence[str], database: str) -> dict[str, Any]:
    key = SigningKey.generate(Algorithm.P256)
    make_keys(folder)
    data = folder / "data"
    know(database or data / "limosa.db", data / "trust", names, key.public)
    options = ["--database", database] if database else []
    ports = (free_port(), free_port())
    with (
        running_server(folder, *options, "--broker", "mosquitto", dev=True, ports=ports) as server,
        swarms(
            folder, names, host="127.0.0.1", port=ports[1], mode="fleet", key=key.pem().decode(),
            running={MODEL: [VERSIONS[0], index_of(VERSIONS[0])]},
        ) as swarm,
        server.http() as http,
    ):  # fmt: skip
        started = time.monotonic()
        swarm.wait("connected", len(names))
        connect_s = swarm.last_at - started
        wait_for(lambda: online(http) == len(names), "all are seen online", pause=lambda: time.sleep(0.2))
        seen_s = time.monotonic() - started
        before = cpu_s(server.pid)
        took = roll_out(http, swarm, len(names))
        used = cpu_s(server.pid) - before
        storm_s, documents_s = storm(server, swarm, len(names))
        return {
            "devices": len(names),
            "connected, s": round(connect_s, 2),
            "seen online, s": round(seen_s, 2),
            "rollout, s": round(took, 2),
            "server CPU of it, s": round(used, 2),
            "server CPU per device, ms": round(used / len(names) * 1000, 3),
            "server RSS, MB": round(rss_mb(server.pid), 1),
            "broker RSS, MB": round(rss_mb(broker_pid(server)), 1),
            "after a broker restart connected, s": round(storm_s, 2),
            "and each has its document, s": round(documents_s, 2),
        }


def online(http: httpx.Client) -> int:
    for line in http.get("/metrics").text.splitlines():
        if line.startswith('limosa_devices{state="online"}'):
            return int(float(line.split()[-1]))
    return 0


def roll_out(http: httpx.Client, swarm: Swarms, devices: int) -> float:
    """Seconds from the start to COMPLETED. Raises SystemExit for any other end, or one device astray."""
    begun = time.monotonic()
    made = http.post("/api/v1/rollouts", json=ROLLOUT)
    if made.status_code != 201:
        raise SystemExit(f"the rollout was refused: {made.text}")
    number = made.json()["id"]
    status: dict[str, Any] = {}

    def ended() -> bool:
        nonlocal status
        status = http.get(f"/api/v1/rollouts/{number}").json()
        return status["status"] not in ("VALIDATING", "RUNNING")

    def pause() -> None:
        until = time.monotonic() + ASKED_EVERY_S
        while (left := until - time.monotonic()) > 0:
            swarm.read(left)

    wait_for(ended, "the rollout ends", pause=pause)
    took = time.monotonic() - begun
    if status["status"] != "COMPLETED":
        raise SystemExit(f"the rollout is {status['status']}: {status['reason']}")
    succeeded = sum(wave["counts"].get("SUCCEEDED", 0) for wave in status["waves"])
    if succeeded != devices:
        raise SystemExit(f"{succeeded} of {devices} devices succeeded")
    return took


def storm(server: Server, swarm: Swarms, devices: int) -> tuple[float, float]:
    """The broker is killed; the server starts it again, and everybody comes back at once."""
    told = swarm.total("told")
    begun = time.monotonic()
    os.kill(broker_pid(server), signal.SIGKILL)
    wait_for(lambda: swarm.total("connected") < devices, "the loss is seen", pause=lambda: swarm.read(0.05))
    swarm.wait("connected", devices)
    connected = swarm.last_at - begun
    swarm.wait("told", told + devices)
    return connected, swarm.last_at - begun


def bare(folder: Path, program: str, names: Sequence[str]) -> float:
    """Seconds from the first document to the last reply, over a broker with nobody behind it."""
    folder.mkdir()
    port = free_port()
    text = mosquitto_config(
        folder, host="127.0.0.1", port=port, user="root" if os.geteuid() == 0 else "", tls=None,
        limits=ServerLimits(),
    )  # fmt: skip
    config = folder / "mosquitto.conf"
    config.write_text(text)
    with (folder / "log").open("wb") as log:
        broker = subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=log)
    try:
        wait_for(lambda: listens(port), "the broker listens", pause=lambda: time.sleep(0.05))
        config_of = {"host": "127.0.0.1", "port": port, "mode": "bare"}
        with swarms(folder, names, **config_of, replies=REPLIES, reply_bytes=REPLY_BYTES) as swarm:
            swarm.wait("connected", len(names))
            return fan_out(port, names)
    finally:
        broker.terminate()
        broker.wait(10)


def fan_out(port: int, names: Sequence[str]) -> float:
    """Publishes a retained document for each and collects the replies, on one connection."""
    link = socket.create_connection(("127.0.0.1", port))
    buffer = bytearray()
    link.sendall(wire.connect("collector", clean=True))
    link.sendall(wire.subscribe(1, [every_device(Suffix.EVENT)]))
    while not any(packet.kind == wire.SUBACK for packet in wire.packets(buffer)):
        buffer += link.recv(65536)
    link.setblocking(False)
    document = b"d" * DOCUMENT_BYTES
    waiting = [
        wire.publish(device_topic(name, Suffix.DESIRED), document, number=at % 65535 + 1, retain=True)
        for at, name in enumerate(names)
    ]
    waiting.reverse()
    begun, got, out = time.monotonic(), 0, bytearray()
    while got < REPLIES * len(names):
        while waiting and len(out) < 65536:
            out += waiting.pop()
        readable, writable, _ = select.select([link], [link] if out else [], [], 5)
        if not readable and not writable and not out:
            raise SystemExit(f"the bare broker lost replies: {got} of {REPLIES * len(names)}")
        if writable:
            del out[: link.send(out)]
        if readable:
            buffer += link.recv(1 << 20)
            for packet in wire.packets(buffer):
                if packet.kind == wire.PUBLISH:
                    got += 1
                    _, _, number = wire.read_publish(packet)
                    out += wire.puback(number)
    link.close()
    return time.monotonic() - begun


def cryptography_s(devices: int) -> float:
    """CPU seconds of what no server of signed reports gets around: each device signs its replies, and
    somebody verifies them."""
    key, payload = SigningKey.generate(Algorithm.P256), b"x" * REPLY_BYTES
    begun = time.process_time()
    for at in range(SIGNED):
        for seq in range(1, REPLIES + 1):
            message = ReportMessage.sign(
                key, device=f"dev-{at:06}", suffix=Suffix.EVENT, session=1, seq=seq, prev=seq - 1,
                payload=payload,
            )  # fmt: skip
            message.verify(key.public, device=f"dev-{at:06}")
    return (time.process_time() - begun) / SIGNED * devices


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def broker_pid(server: Server) -> int:
    found = broker_of(server.pid)
    if found is None:
        raise SystemExit("the server has no broker")
    return found


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
