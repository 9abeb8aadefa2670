"""What the world may do to a device that once ran a good model: it keeps answering (agent, promise)."""

from __future__ import annotations

import json
import resource
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from limosa_contracts.desired import DesiredModel, Trial
from limosa_contracts.topics import Suffix, device_topic
from limosa_devices.simulator.mqtt_wire import varint
from tests.agent.device import Device
from tests.agent.fleet import DEVICE, Fleet
from tests.support.processes import Processes


def committed(device: Device, fleet: Fleet) -> None:
    device.start()
    fleet.want(device.publish("1.0.0"), rollout="r1", seconds=0.3)
    device.wait_for(lambda: fleet.serves("1.0.0") and "COMMITTED" in fleet.phases("r1"), "1.0.0 committed")


def test_state_database_that_is_locked_at_start_is_waited_for_not_thrown_away(
    device: Device, fleet: Fleet
) -> None:
    committed(device, fleet)
    device.kill()
    with held_by_another(device.state / "state.db"):
        device.start()
        assert device.ask(1.0) == 1.0, "what is good is served without the database"
    device.wait_for(lambda: _up(device), "the whole agent is up again")
    assert not list(device.state.glob("state.db.corrupt-*")), "a locked database is not a damaged one"
    fleet.want(device.publish("2.0.0"), rollout="r2", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2"), "2.0.0 committed")
    assert device.stop() == 0


def test_disk_that_fills_up_while_the_agent_runs_stops_updates_and_nothing_else(
    device: Device, fleet: Fleet
) -> None:
    committed(device, fleet)
    assert device.process is not None
    pid = device.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))  # no file may grow: every commit fails
    fleet.want(device.publish("2.0.0"), rollout="r2", seconds=0.3)
    for _ in range(30):
        assert device.ask(1.0) == 1.0
        time.sleep(0.1)  # the time in which a supervisor without this care would have ended
    assert device.process.running
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2"), "2.0.0 committed", timeout_s=60)
    assert device.ask(1.0) == 2.0
    assert device.stop() == 0


def test_access_token_that_is_no_header_value_stops_nothing(device: Device, fleet: Fleet) -> None:
    committed(device, fleet)
    assert device.stop() == 0
    answer = fleet.answer

    def forged(method: str, path: str, body: bytes, etag: str) -> tuple[int, bytes, dict[str, str]]:
        if path == "/api/v1/device/token":
            return 200, json.dumps({"access_token": "a\r\nX-Evil: \u20ac", "expires_in": 600}).encode(), {}
        return answer(method, path, body, etag)

    fleet.answer = forged  # type: ignore[method-assign]  # a server in other hands
    device.start()
    time.sleep(2.0)  # several polls
    assert device.ask(1.0) == 1.0
    assert device.process is not None
    assert device.process.running
    assert device.stop() == 0


def test_answer_that_never_ends_does_not_hold_up_the_end_of_the_agent(device: Device, fleet: Fleet) -> None:
    committed(device, fleet)
    assert device.stop() == 0
    answer, dripping = fleet.answer, threading.Event()

    def drip(method: str, path: str, body: bytes, etag: str) -> tuple[int, bytes, dict[str, str]]:
        if path.startswith("/api/v1/device"):
            dripping.set()
            time.sleep(15.0)  # below the time-out between two reads
        return answer(method, path, body, etag)

    fleet.answer = drip  # type: ignore[method-assign]  # a server in other hands
    device.start()
    device.wait_for(dripping.is_set, "the agent waits for an answer")
    began = time.monotonic()
    assert device.stop() == 0
    assert time.monotonic() - began < 8.0


def test_state_that_another_version_wrote_does_not_keep_the_agent_from_starting(
    device: Device, fleet: Fleet
) -> None:
    committed(device, fleet)
    device.kill()
    with sqlite3.connect(device.state / "state.db") as db:
        db.execute("INSERT INTO open_windows VALUES ('odd', ?)", (b'{"schema":"limosa.window/9"}',))
    db.close()
    device.start()
    assert device.ask(1.0) == 1.0
    assert device.stop() == 0


def test_state_folder_too_deep_for_a_control_socket_costs_only_that(
    fleet: Fleet, processes: Processes, tmp_path: Path
) -> None:
    device = Device(folder=tmp_path / ("deep" * 30), fleet=fleet, processes=processes)
    device.write_config()
    device.enroll()
    committed(device, fleet)
    assert device.ask(1.0) == 1.0
    assert "LM-513" in device.command("status").stderr
    assert device.stop() == 0


@pytest.mark.parametrize("name", ["key.pem", "cert.pem", "ca.pem", "enrolled.json", "root.json"])
def test_damaged_identity_costs_the_link_not_the_model(device: Device, fleet: Fleet, name: str) -> None:
    committed(device, fleet)
    device.kill()
    (device.state / "identity" / name).write_bytes(b"\0" * 64)
    device.start()
    assert device.ask(1.0) == 1.0
    assert device.stop() == 0


def test_document_of_many_models_is_fetched_one_at_a_time(device: Device, fleet: Fleet) -> None:
    committed(device, fleet)
    models = [
        DesiredModel(
            model=f"demo/m{i}", version="1.0.0", index_sha256=f"{i:064x}", rollout=f"m{i}", trial=Trial()
        )
        for i in range(20)
    ]
    fleet.want_models(*models)
    most = 0

    def all_refused() -> bool:
        nonlocal most
        assert device.process is not None
        most = max(most, len(_children(device.process.pid, "limosa_agent.fetch")))
        return all("REJECTED" in fleet.phases(f"m{i}") for i in range(20))

    device.wait_for(all_refused, "every one is refused", timeout_s=120)
    assert most <= 2
    assert device.ask(1.0) == 1.0
    assert device.stop() == 0


def _publish(topic: bytes, payload: bytes) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + b"\0" + payload
    return b"\x30" + varint(len(body)) + body


DESIRED = device_topic(DEVICE, Suffix.DESIRED).encode()
ACK = device_topic(DEVICE, Suffix.ACK).encode()
GARBAGE = {
    "a topic that is no text": _publish(b"\xff\xfe", b"x"),
    "noise": b"\x3f\x05\xff\xff\xff\xff\xff" + bytes(range(256)),
    "properties that lie": b"\x30\x08" + b"\0\x01a" + b"\x7f\xff\xff\xff\xff",
    "a length of five bytes": b"\x30\xff\xff\xff\xff\xff\x01",
    "a packet of 200 MB": b"\x30" + varint(200_000_000) + b"\0\x01a\0" + b"x" * 60_000_000,
    "desired states that are none": _publish(DESIRED, b"[" * 60_000) * 50,
    "a flood": _publish(DESIRED, b"x" * 100_000) * 600,
    "acknowledgements of the future": _publish(
        ACK, json.dumps({"schema": "limosa.ack/1", "session": 1, "seq": 2**63 - 1}).encode()
    )
    + _publish(ACK, b'{"schema":"limosa.ack/1","session":99999999999999999999999,"seq":-1}'),
}


class HostileBroker:
    """Accepts every client, and then says `what`."""

    def __init__(self, what: bytes) -> None:
        self._what = what
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._hold, args=(client,), daemon=True).start()

    def _hold(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            client.recv(4096)
            client.sendall(b"\x20\x03\0\0\0")
            time.sleep(0.2)
            client.sendall(self._what)
            while client.recv(4096):
                pass

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize("what", GARBAGE)
def test_hostile_broker_costs_a_connection_and_nothing_else(
    fleet: Fleet, processes: Processes, tmp_path: Path, what: str
) -> None:
    broker = HostileBroker(GARBAGE[what])
    try:
        fleet.mqtt_port = broker.port
        device = Device(folder=tmp_path / "device", fleet=fleet, processes=processes)
        device.write_config()
        device.enroll()
        device.start()
        fleet.want(device.publish("1.0.0"), rollout="r1", seconds=0.3)
        device.wait_for(lambda: _answers(device), "1.0.0 serves, by way of HTTPS")
        if what.startswith(("noise", "properties", "a length", "a packet")):
            device.wait_for(lambda: broker.connections >= 3, "it connects again and again")
        else:
            time.sleep(3.0)  # what came is worked off
        assert device.process is not None
        assert device.process.running
        assert device.ask(1.0) == 1.0
        peak = _peak_kib(device.process.pid)
        assert peak < 80 * 1024, f"{peak} KiB at most"
        assert device.stop() == 0
    finally:
        broker.close()


@contextmanager
def held_by_another(database: Path) -> Iterator[None]:
    """Another process, say a backup, holds the write lock."""
    other = sqlite3.connect(database, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


def _answers(device: Device) -> bool:
    try:
        return device.ask(1.0) == 1.0
    except (OSError, AssertionError, HTTPException):
        return False


def _up(device: Device) -> bool:
    done = device.command("status", "--json")
    return done.returncode == 0 and "mqtt" in json.loads(done.stdout)


def _children(pid: int, words: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == pid and words in (entry / "cmdline").read_text():
                    found.append(int(entry.name))
    return found


def _peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
