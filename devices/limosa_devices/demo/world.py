"""The demo's world: one server with its broker, N devices, each a real process with a state of its own."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from limosa_contracts.json_value import JsonObject
from limosa_devices.demo.ledger import Ledger
from limosa_devices.demo.processes import Process, Processes, wait_until
from limosa_devices.demo.proxy import CutProxy

TEAM: Final = "demo"
GROUP: Final = "wrists"
ROLES: Final = {1: "canary", 2: "early", 3: "early"}
"""By number of the device; the others are of the rest."""
START_TIMEOUT_S: Final = 60.0
BIN: Final = Path(sys.executable).parent


@dataclass(slots=True)
class DemoDevice:
    """One agent: its folder, its process, and where it answers."""

    number: int
    folder: Path
    name: str = ""
    process: Process | None = None
    port: int = 0

    @property
    def config(self) -> Path:
        return self.folder / "agent.toml"


@dataclass(slots=True)
class World:
    """`proxied` is the number of the device whose link can be cut (0: none). `broker` is mosquitto,
    with mutual TLS, or iotcore, which knows no TLS and therefore stays on loopback in development mode."""

    folder: Path
    devices_wanted: int
    proxied: int
    broker: str = "mosquitto"
    processes: Processes = field(init=False)
    server: JsonObject = field(default_factory=dict)
    devices: list[DemoDevice] = field(default_factory=list)
    proxies: list[CutProxy] = field(default_factory=list)
    _ports: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.processes = Processes(self.folder / "logs")

    @property
    def data(self) -> Path:
        return self.folder / "server"

    @property
    def offline_keys(self) -> Path:
        return self.folder / "offline"

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.data / "limosa.db")

    @property
    def url(self) -> str:
        return str(self.server["url"])

    @property
    def tls(self) -> bool:
        return self.url.startswith("https:")

    def limosa(self, *arguments: str, timeout_s: float = 120.0) -> JsonObject:
        """The answer of one `limosa` command with --json. Raises ProcessFailed."""
        output = self.processes.run(
            "limosa " + " ".join(arguments[:2]),
            [str(BIN / "limosa"), *arguments, "--json"],
            timeout_s=timeout_s,
            env=self._operator(),
        )
        value = json.loads(output.splitlines()[-1])
        return value if isinstance(value, dict) else {"items": value}

    def _operator(self) -> dict[str, str]:
        if not self.server:
            return {}
        token = (self.data / "admin.token").read_text(encoding="utf-8").strip()
        ca = {"LIMOSA_CA": str(self.ca)} if self.tls else {}
        return {"LIMOSA_SERVER": self.url, "LIMOSA_TOKEN": token, **ca}

    @property
    def ca(self) -> Path:
        return self.data / "trust" / "ca.crt"

    def start_server(self) -> None:
        """Keys, then the server with its broker: mutual TLS where mosquitto is there, else loopback only."""
        self.limosa(
            "keys", "init", "--dev", "--team", TEAM,
            "--offline", str(self.offline_keys), "--server", str(self.data / "trust"),
        )  # fmt: skip
        self._ports = (_free_port(), _free_port())
        self.run_server()
        self.limosa("group", "create", GROUP)

    def run_server(self) -> Process:
        """Starts the server's process, on the same ports each time."""
        listen, mqtt = self._ports
        command = [
            str(BIN / "limosa"), "server", "run", "--data", str(self.data),
            "--listen", f"127.0.0.1:{listen}", "--mqtt-port", str(mqtt),
        ]  # fmt: skip
        if self.broker == "iotcore":
            command += ["--dev", "--broker", "iotcore"]
        process = self.processes.start("server", command)
        self.server = process.ready(timeout_s=START_TIMEOUT_S)
        return process

    def start_devices(self) -> None:
        """Enrols and starts all devices, several at a time."""
        self.devices = [
            DemoDevice(number=i, folder=self.folder / f"device-{i}")
            for i in range(1, self.devices_wanted + 1)
        ]
        with ThreadPoolExecutor(max_workers=3) as pool:
            list(pool.map(self._enroll, self.devices))
        for device in self.devices:
            self.start_agent(device)
        for device in self.devices:
            self.await_agent(device)

    def _enroll(self, device: DemoDevice) -> None:
        device.folder.mkdir(parents=True)
        device.config.write_text(self._config(device), encoding="utf-8")
        role = ROLES.get(device.number, "rest")
        answer = self.limosa("device", "enroll-token", "--group", GROUP, "--label", f"role={role}")
        output = self.processes.run(
            f"enrolling device {device.number}",
            [
                str(BIN / "limosa-agent"),
                "enroll",
                "--config",
                str(device.config),
                "--token",
                str(answer["token"]),
                "--json",
            ],
        )
        device.name = str(json.loads(output.splitlines()[-1])["device"])

    def _config(self, device: DemoDevice) -> str:
        url, broker = self.url, ""
        if device.number == self.proxied:
            url, broker = self._through_proxies()
        lines = [
            f'server = "{url}"',
            f'state_dir = "{device.folder / "state"}"',
            f'listen = "127.0.0.1:{_free_port()}"',  # the same again when the device comes back
            "poll_interval_s = 5.0",
            "reconnect_min_s = 0.2",
            "reconnect_max_s = 2.0",
            "ack_timeout_s = 3.0",
            broker,
            f'ca_file = "{self.ca}"' if self.tls else "",
        ]
        return "\n".join(line for line in lines if line) + "\n"

    def _through_proxies(self) -> tuple[str, str]:
        scheme, _, address = self.url.partition("://")
        web = CutProxy(int(address.rpartition(":")[2]))
        mqtt = CutProxy(int(str(self.server["mqtt"]).rpartition(":")[2]))
        self.proxies = [web, mqtt]
        return f"{scheme}://127.0.0.1:{web.port}", f'broker = "127.0.0.1:{mqtt.port}"'

    def start_agent(self, device: DemoDevice) -> None:
        device.process = self.processes.start(
            f"device-{device.number}", [str(BIN / "limosa-agent"), "run", "--config", str(device.config)]
        )

    def await_agent(self, device: DemoDevice) -> None:
        if device.process is None:
            raise RuntimeError("the agent was not started")
        ready = device.process.ready(timeout_s=START_TIMEOUT_S)
        device.port = int(str(ready["listen"]).rpartition(":")[2])

    def named(self, name: str) -> DemoDevice:
        return next(device for device in self.devices if device.name == name)

    def stop(self) -> None:
        self.processes.stop_all()
        for proxy in self.proxies:
            proxy.stop()

    def await_rollout(self, number: int, statuses: Sequence[str], *, timeout_s: float) -> str:
        """The status, as soon as it is one of `statuses`. Raises TimedOut."""
        wait_until(
            lambda: self.ledger.rollout(number)[0] in statuses,
            timeout_s=timeout_s,
            what=f"rollout {number} becoming {' or '.join(statuses)}",
        )
        return self.ledger.rollout(number)[0]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def broker_here() -> str:
    """mosquitto where it is installed (Debian puts it where an ordinary PATH does not look), else iotcore."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    return "mosquitto" if found else "iotcore"
