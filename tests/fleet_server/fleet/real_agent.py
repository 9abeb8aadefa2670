"""The device's own program, enrolled at a server of the test and connected to its broker."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from limosa_server.tables.devices import Device
from tests.fleet_server.secured_broker import Secured
from tests.support.processes import Processes, Started, script
from tests.support.waiting import wait_until


@dataclass(slots=True)
class RealAgent:
    id: str
    folder: Path
    process: Started
    secured: Secured

    def online(self) -> bool:
        with self.secured.fleet.state.store.read() as tx:
            return tx.get_one(Device, self.id).online

    def wait_for(self, online: bool) -> None:
        wait_until(
            lambda: self.online() is online,
            timeout_s=30,
            what=lambda: f"online is {online}:\n" + "\n".join(self.process.log().splitlines()[-15:]),
        )


@contextmanager
def running_agent(
    secured: Secured, processes: Processes, folder: Path, *, token: str = "", **config: object
) -> Iterator[RealAgent]:
    """Enrolled over HTTP, connected over TLS with its certificate; stopped at the end."""
    fleet = secured.fleet
    fleet.state.endpoints = replace(
        fleet.state.endpoints, mqtt_host="127.0.0.1", mqtt_port=secured.broker.port, mqtt_tls=True
    )
    folder.mkdir(exist_ok=True)
    path = folder / "agent.toml"
    keys = {
        "server": str(fleet.http.base_url).rstrip("/"),
        "state_dir": str(folder / "state"),
        "listen": "127.0.0.1:0",
        "reconnect_min_s": 0.1,
        "reconnect_max_s": 0.3,
        **config,
    }
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in keys.items()))
    where = ["--config", str(path)]
    enrolled = subprocess.run(
        [script("limosa-agent"), "enroll", "--token", token or fleet.enroll_token(), "--json", *where],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert enrolled.returncode == 0, enrolled.stderr
    process = processes.start([script("limosa-agent"), "run", *where], name="agent")
    agent = RealAgent(json.loads(enrolled.stdout)["device"], folder, process, secured)
    agent.wait_for(online=True)
    try:
        yield agent
    finally:
        process.stop()
