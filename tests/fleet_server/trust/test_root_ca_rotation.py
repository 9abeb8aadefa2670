"""The root CA of devices, broker and server is replaced, and nobody visits a device (trust 1.2)."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from limosa_agent.config import AgentConfig
from limosa_agent.identity.identity import load_identity
from limosa_agent.link.mqtt import mqtt_context
from limosa_contracts.root_ca import SPREAD_FILE, RootSpread, fingerprints
from tests.fleet_server.test_server_run import Running, start
from tests.fleet_server.world import make_trust
from tests.support.ports import free_port
from tests.support.processes import Processes, Started, script
from tests.support.programs import require_program
from tests.support.waiting import wait_until


@dataclass(slots=True)
class Agent:
    """A device with its own program; its operator has named the CA of that day as `ca_file`."""

    id: str
    path: Path

    @property
    def config(self) -> AgentConfig:
        return AgentConfig.load(self.path)

    @property
    def roots(self) -> tuple[str, ...]:
        return fingerprints(load_identity(self.config.identity_dir).enrolled.ca_pem)

    def look(self) -> dict[str, Any]:
        """What the agent does once a day: the child that looks after certificate and root CAs."""
        done = subprocess.run(
            [sys.executable, "-m", "limosa_agent.identity.renew", "--config", str(self.path)],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def run(self, processes: Processes) -> Started:
        return processes.start([script("limosa-agent"), "run", "--config", str(self.path)], name=self.id)


@dataclass(slots=True)
class World:
    processes: Processes
    folder: Path
    server: Running

    @property
    def trust(self) -> Path:
        return self.folder / "data" / "trust"

    def enroll(self, name: str) -> Agent:
        place = self.folder / name
        place.mkdir()
        ca_file = Path(shutil.copy(self.trust / "ca.crt", place / "ca.crt"))
        path = place / "agent.toml"
        settings: dict[str, object] = {
            "server": self.server.url, "ca_file": str(ca_file), "state_dir": str(place / "state"),
            "listen": "127.0.0.1:0", "reconnect_min_s": 0.1, "reconnect_max_s": 0.3,
        }  # fmt: skip
        path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
        with self.server.http() as http:
            token = http.post("/api/v1/enrollment-tokens", json={"device": name}).json()["token"]
        done = subprocess.run(
            [script("limosa-agent"), "enroll", "--token", token, "--json", "--config", str(path)],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return Agent(name, path)

    def keys(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [script("limosa"), "keys", *words, "--server", str(self.trust)],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def rotate(self) -> None:
        done = self.keys("rotate", "root-ca", "--offline", str(self.folder / "offline"))
        assert done.returncode == 0, done.stderr
        wait_until(lambda: len(self.state()["roots"]) == 2, timeout_s=20, what="the server takes it up")

    def state(self) -> dict[str, Any]:
        with self.server.http() as http:
            found: dict[str, Any] = http.get("/api/v1/server/root-ca").json()
        return found

    def told(self) -> list[Any]:
        """By a reader that trusts the roots from before the file was changed."""
        verify = ssl.create_default_context(cafile=str(self.folder / "dev-1" / "ca.crt"))
        with httpx.Client(base_url=self.server.url, verify=verify, headers=self.server.admin) as http:
            return list(http.get("/api/v1/server/root-ca").json()["roots"])

    def missing(self) -> list[str]:
        return [one["device"] for one in self.state()["items"]]

    def restart(self) -> None:
        self.server.process.stop()
        port = int(self.server.url.rpartition(":")[2])
        self.server = start(self.processes, self.folder, http_port=port, mqtt_port=self.server.mqtt_port)

    def online(self, device: str) -> bool:
        with self.server.http() as http:
            return bool(http.get(f"/api/v1/devices/{device}").json()["online"])

    def counts_as_missing(self, number: int) -> bool:
        """Whether the server has written down that so many do not know the new root."""
        written = self.trust / SPREAD_FILE
        return written.exists() and RootSpread.parse(written.read_bytes()).missing == number


@pytest.fixture
def world(processes: Processes, tmp_path: Path) -> World:
    require_program("mosquitto")
    make_trust(tmp_path)
    server = start(processes, tmp_path, http_port=free_port(), mqtt_port=free_port())
    return World(processes, tmp_path, server)


def broker_believes(world: World, agent: Agent) -> bool:
    """Broker and device, each by what it trusts, let one another in."""
    context = mqtt_context(load_identity(agent.config.identity_dir))
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # with 1.3 a client learns too late that it is refused
    try:
        with (
            socket.create_connection(("127.0.0.1", world.server.mqtt_port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1"),
        ):
            return True
    except (ssl.SSLError, ConnectionError):
        return False


def test_the_root_ca_is_replaced_and_a_device_that_was_away_is_named(world: World) -> None:
    """One device runs all the time, one comes by on its day, one is in a drawer."""
    running, visitor, drawer = (world.enroll(name) for name in ("dev-run", "dev-visit", "dev-drawer"))
    first = running.roots
    running.run(world.processes)
    wait_until(lambda: world.online(running.id), timeout_s=30, what="it is online")

    world.rotate()
    assert world.missing() == ["dev-drawer", "dev-run", "dev-visit"]
    # In between, for another reason: it stays under the root that all devices know.
    assert world.keys("rotate", "server-certificate").returncode == 0
    for agent in (running, visitor):
        said = agent.look()
        assert (said["roots"], said["renewed"]) == (True, True), said
        assert agent.roots[1:] == first
    assert running.look()["roots"] is False
    assert world.missing() == ["dev-drawer"]
    with world.server.http() as http:
        assert "limosa_devices_without_new_root 1.0" in http.get("/metrics").text
        rows = http.get("/api/v1/audit", params={"limit": 500}).json()["items"]
    audited = {row["object"] for row in rows if row["action"] == "device.root"}
    assert audited == {"device dev-run", "device dev-visit"}

    wait_until(lambda: world.counts_as_missing(1), timeout_s=40, what="the server has written it down")
    refused = world.keys("retire", "root-ca", "--without", "dev-run")
    assert refused.returncode != 0
    assert "LM-692" in refused.stderr
    assert "dev-drawer" in refused.stderr
    assert world.keys("retire", "root-ca", "--without", "dev-drawer").returncode == 0
    world.restart()

    assert [one["sha256"] for one in world.state()["roots"]] == [running.roots[0]]
    wait_until(lambda: world.online(running.id), timeout_s=30, what="it is back by itself")
    assert visitor.look()["roots"] is True
    assert len(visitor.roots) == 1
    assert broker_believes(world, visitor)
    comes_back_by_hand(world, drawer, first)


def comes_back_by_hand(world: World, drawer: Agent, before: tuple[str, ...]) -> None:
    """Who was left behind is shut out, and loses nothing; somebody puts the new `ca.crt` on it."""
    assert "certificate" in json.dumps(drawer.look())
    assert drawer.roots == before, "what it has stays"
    assert not broker_believes(world, drawer)
    shutil.copy(world.trust / "ca.crt", drawer.path.parent / "ca.crt")
    said = drawer.look()
    assert (said["roots"], said["renewed"]) == (True, True), said
    assert drawer.roots == tuple(one["sha256"] for one in world.state()["roots"])
    assert broker_believes(world, drawer)
    assert world.missing() == []


def test_a_root_that_server_and_broker_are_not_of_is_not_taken(world: World) -> None:
    """Somebody shortened `ca.crt` by hand in the middle of a rotation: nobody lost their way."""
    device = world.enroll("dev-1")
    before = device.roots
    world.rotate()
    both = (world.trust / "ca.crt").read_text()
    newest = both[: both.index("-----END") + len("-----END CERTIFICATE-----\n")]
    (world.trust / "draft").write_text(newest)
    (world.trust / "draft").rename(world.trust / "ca.crt")
    wait_until(lambda: len(world.told()) == 1, timeout_s=20, what="the server takes it up")
    said = device.look()
    assert said["roots_error"]["code"] == "LM-693", said
    assert said["roots"] is False
    assert device.roots == before
    (world.trust / "draft").write_text(both)
    (world.trust / "draft").rename(world.trust / "ca.crt")
    wait_until(lambda: len(world.told()) == 2, timeout_s=20, what="the server takes it up")
    assert device.look()["roots"] is True
    wait_until(lambda: broker_believes(world, device), timeout_s=20, what="the broker has read it again")
