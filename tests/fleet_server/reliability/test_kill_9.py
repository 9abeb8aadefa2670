"""Server, broker and database are killed at random moments of a rollout. Two rounds here, twenty in soak.

Devices are simulated, with outboxes that keep what was not acknowledged; everything else is real.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from sqlmodel import col, select

from benchmarks.fleet.known import GROUP, MODEL, VERSIONS, index_of, know
from benchmarks.fleet.server import broker_of
from limosa_contracts.phases import Execution
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_server.deploy.check import check
from limosa_server.settings import ServerSettings
from limosa_server.store import Store
from limosa_server.tables.reports import EventRow, InboxMark
from limosa_server.tables.rollouts import DecisionRow, ExecutionRow
from tests.fleet_server.world import make_trust
from tests.support.ports import free_port
from tests.support.postgresql import Cluster, running_cluster
from tests.support.processes import Processes, Started, script
from tests.support.programs import require_program
from tests.support.waiting import wait_until

ROOT: Final = Path(__file__).parents[3]
DEVICES: Final = 24
BAD: Final = ("dev-03", "dev-17")
KILLS: Final = 4
ROLLOUT: Final = {
    "release": f"{MODEL}@{VERSIONS[1]}",
    "group": GROUP,
    "waves": [
        {"name": "first", "count": 6, "bake": "1s"},
        {"name": "second", "count": 6, "bake": "1s"},
        {"name": "rest", "bake": "1s"},
    ],
    "rate": {"maximum_per_minute": 100_000},
    "control": {"percent": 0},
    "success": {"percent": 50},
    "abort": [{"threshold": 0.9, "min_executed": 20}],
    "timeouts": {"silence": "10m"},
}


@dataclass(slots=True)
class World:
    folder: Path
    processes: Processes
    database: str  # URL; "" is SQLite
    cluster: Cluster | None
    ports: tuple[int, int]
    server: Started | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def place(self) -> Path | str:
        return self.database or self.data / "limosa.db"

    def run_server(self) -> None:
        options = ["--database", self.database] if self.database else []
        self.server = self.processes.start(
            [
                script("limosa"), "server", "run", "--data", str(self.data), "--dev", "--broker", "mosquitto",
                "--listen", f"127.0.0.1:{self.ports[0]}", "--mqtt-port", str(self.ports[1]), *options,
            ],
            name="server",
        )  # fmt: skip
        self.server.wait_for_log('"ready"', timeout_s=90)

    def get(self, path: str) -> Any:
        """None while nobody answers, or not with an answer."""
        token = (self.data / "admin.token").read_text().strip()
        with suppress(httpx.TransportError):
            answer = httpx.get(
                f"http://127.0.0.1:{self.ports[0]}{path}", trust_env=False, timeout=20,
                headers={"Authorization": f"Bearer {token}"},
            )  # fmt: skip
            return answer.json() if answer.status_code == 200 else None
        return None

    def post(self, path: str, body: dict[str, Any]) -> Any:
        token = (self.data / "admin.token").read_text().strip()
        answer = httpx.post(
            f"http://127.0.0.1:{self.ports[0]}{path}", json=body, trust_env=False, timeout=60,
            headers={"Authorization": f"Bearer {token}"},
        )  # fmt: skip
        assert answer.status_code == 201, answer.text
        return answer.json()

    def kill(self, what: str) -> None:
        assert self.server is not None
        if what == "server":
            self.server.kill()
            self.run_server()
        elif what == "broker":
            broker = broker_of(self.server.pid)
            if broker is not None:  # else it is being started again after the last time
                os.kill(broker, signal.SIGKILL)
        else:
            assert self.cluster is not None
            self.cluster.stop(signal.SIGKILL)
            self.cluster.start()


@contextmanager
def swarm(
    world: World, key: SigningKey, *, bad: tuple[str, ...] = BAD
) -> Iterator[Callable[[], dict[str, int]]]:
    """The devices; calling what it gives ends them and says what each was told to be committed."""
    config = world.folder / "swarm.json"
    config.write_text(
        json.dumps(
            {
                "host": "127.0.0.1", "port": world.ports[1], "mode": "fleet", "key": key.pem().decode(),
                "names": names(), "running": {MODEL: [VERSIONS[0], index_of(VERSIONS[0])]},
                "bad": {name: [VERSIONS[1]] for name in bad}, "wordy": True,
            }
        )
    )  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "limosa_devices.simulator.swarm", str(config)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip

    def end() -> dict[str, int]:
        out, _ = process.communicate(timeout=60)
        acked: dict[str, int] = json.loads(out.splitlines()[-1])["acked"]
        return acked

    try:
        yield end
    finally:
        process.kill()
        process.communicate()


def names() -> list[str]:
    return [f"dev-{at:02}" for at in range(DEVICES)]


def one_round(world: World, *, seed: int) -> None:
    draw = random.Random(seed)
    key = SigningKey.generate(Algorithm.P256)
    make_trust(world.folder)
    know(world.place, world.data / "trust", names(), key.public)
    world.run_server()
    kinds = ["server", "broker"] + (["database"] if world.cluster else [])
    order = [kinds[at % len(kinds)] for at in range(KILLS)]
    draw.shuffle(order)
    with swarm(world, key) as end:
        wait_until(lambda: online(world) == DEVICES, timeout_s=60, what="every device is online")
        number = world.post("/api/v1/rollouts", ROLLOUT)["id"]
        moments = sorted(draw.uniform(0.05, 0.9) for _ in order)
        for what, share in zip(order, moments, strict=True):
            wait_for_devices(world, number, least=int(share * DEVICES))
            world.kill(what)
        wait_until(
            lambda: status_of(world, number) not in ("", "VALIDATING", "RUNNING"),
            timeout_s=180,
            what=lambda: f"the rollout ends: {world.get(f'/api/v1/rollouts/{number}')}",
        )
        assert world.get(f"/api/v1/rollouts/{number}")["status"] == "COMPLETED"
        acked = end()
    assert world.server is not None
    world.server.stop()
    assert_nothing_lost_nothing_twice(world, number, acked)


def wait_for_devices(world: World, rollout: int, *, least: int) -> None:
    wait_until(
        lambda: ended(world, rollout) >= least,
        timeout_s=120,
        what=lambda: f"{least} devices are through: {world.get(f'/api/v1/rollouts/{rollout}')}",
    )


def status_of(world: World, rollout: int) -> str:
    """ "" while nobody answers."""
    found = world.get(f"/api/v1/rollouts/{rollout}")
    return str(found["status"]) if found else ""


def online(world: World) -> int:
    items = world.get("/api/v1/devices?limit=100")
    return sum(one["online"] for one in items["items"]) if items else 0


def ended(world: World, rollout: int) -> int:
    """Devices at their end, by the kept counters."""
    status = world.get(f"/api/v1/rollouts/{rollout}")
    if status is None:
        return -1
    over = {state.value for state in Execution if state.terminal}
    return sum(n for wave in status["waves"] for state, n in wave["counts"].items() if state in over)


def assert_nothing_lost_nothing_twice(world: World, rollout: int, acked: dict[str, int]) -> None:
    store = Store.open(world.place)
    try:
        with store.read() as tx:
            marks = {row.device: row.mark for row in tx.exec(select(InboxMark))}
            events = [(row.device, row.key) for row in tx.exec(select(EventRow))]
            runs = {
                row.device: row.state
                for row in tx.exec(select(ExecutionRow).where(ExecutionRow.rollout == rollout))
            }
            decisions = [
                (row.kind, row.verdict, row.wave)
                for row in tx.exec(select(DecisionRow).order_by(col(DecisionRow.id)))
            ]
    finally:
        store.close()
    assert sum(seq > 0 for seq in acked.values()) == DEVICES
    assert all(marks.get(device, 0) >= seq for device, seq in acked.items()), "what is acknowledged is there"
    assert len(events) == len(set(events))
    for device in names():
        last = "FELL_BACK" if device in BAD else "COMMITTED"
        assert (device, f"{rollout}:1:{last}") in events, "each verdict arrived"
    assert runs == {device: "ROLLED_BACK" if device in BAD else "SUCCEEDED" for device in names()}
    settings = ServerSettings(data=world.data, database_url=world.database)
    bad = [one.what for one in check(settings, world.place, read_blobs=False) if one.bad]
    assert [what for what in bad if not what.endswith(("on the disk", "in the registry"))] == []
    for wave in (1, 2):
        begun = decisions.index(("wave_started", "IN_PROGRESS", wave))
        assert ("gate", "PASSED", wave - 1) in decisions[:begun], "no wave without the gate before it"
    assert len([one for one in decisions if one[0] == "wave_started"]) <= 4


@pytest.fixture
def sqlite_world(tmp_path: Path, processes: Processes) -> World:
    require_program("mosquitto")
    return World(tmp_path, processes, "", None, (free_port(), free_port()))


@pytest.fixture
def postgresql_world(tmp_path: Path, processes: Processes) -> Iterator[World]:
    """A cluster of its own: the others' must not be killed."""
    require_program("mosquitto")
    with running_cluster(durable=True) as cluster:
        url = cluster.create("limosa")
        yield World(tmp_path, processes, url, cluster, (free_port(), free_port()))
        for process in reversed(processes.started):  # what talks to the database goes first
            process.stop()


def test_kill_9_of_server_and_broker_over_sqlite(sqlite_world: World) -> None:
    one_round(sqlite_world, seed=1)


def test_kill_9_of_server_broker_and_postgresql(postgresql_world: World) -> None:
    one_round(postgresql_world, seed=2)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 20))
def test_ten_rounds_over_sqlite(sqlite_world: World, seed: int) -> None:
    one_round(sqlite_world, seed=seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20, 30))
def test_ten_rounds_over_postgresql(postgresql_world: World, seed: int) -> None:
    one_round(postgresql_world, seed=seed)
