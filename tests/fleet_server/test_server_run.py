"""`limosa server run` as a process: it says when it answers, survives a kill, ends when asked."""

from __future__ import annotations

import json
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlmodel import select

from limosa_contracts.enrolment import REQUEST_SCHEMA, Enrolled
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_server.mqtt.broker_config import BrokerTls
from limosa_server.store import Store
from limosa_server.tables.reports import EventRow
from tests.fleet_server.databases import with_schema
from tests.fleet_server.mqtt_device import connected
from tests.fleet_server.world import Device, make_trust, running_fleet
from tests.support.ports import free_port
from tests.support.processes import Processes, Started, script
from tests.support.waiting import wait_until


@dataclass(slots=True)
class Running:
    """A server process, and how to reach it."""

    process: Started
    url: str
    mqtt_port: int
    folder: Path

    @property
    def admin(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {(self.folder / 'data' / 'admin.token').read_text().strip()}"}

    def http(self) -> httpx.Client:
        verify: ssl.SSLContext | bool = False
        if self.url.startswith("https"):
            verify = ssl.create_default_context(cafile=str(self.folder / "data" / "trust" / "ca.crt"))
        return httpx.Client(base_url=self.url, verify=verify, trust_env=False, headers=self.admin, timeout=20)

    def enroll(self) -> Device:
        device = Device(key=SigningKey.generate(Algorithm.P256))
        with self.http() as http:
            token = http.post("/api/v1/enrollment-tokens", json={}).json()["token"]
            body = {"schema": REQUEST_SCHEMA, "token": token, "csr": device.csr()}
            device.enrolled = Enrolled.parse(http.post("/api/v1/enroll", json=body).content)
        return device

    def events(self) -> list[str]:
        store = Store.open(self.folder / "data" / "limosa.db")
        try:
            with store.read() as tx:
                return list(tx.exec(select(EventRow.key).order_by(EventRow.key)))
        finally:
            store.close()


def start(
    processes: Processes,
    folder: Path,
    *options: str,
    http_port: int = 0,
    mqtt_port: int = 0,
    from_nothing: bool = False,
) -> Running:
    """`from_nothing`: it makes its tables itself, and not only what a server of yesterday left behind."""
    if not from_nothing:
        with_schema(folder / "data" / "limosa.db")
    command = [
        script("limosa"), "server", "run", "--data", str(folder / "data"),
        "--listen", f"127.0.0.1:{http_port}", "--mqtt-port", str(mqtt_port), *options,
    ]  # fmt: skip
    process = processes.start(command, name="server")
    process.wait_for_log('"ready"', timeout_s=60)
    line = next(line for line in process.log().splitlines() if line.startswith("{"))
    ready = json.loads(line)
    return Running(process, ready["url"], int(ready["mqtt"].rpartition(":")[2]), folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_trust(tmp_path)
    return tmp_path


def test_a_server_starts_on_free_ports_gives_one_admin_token_and_ends_in_five_seconds(
    processes: Processes, folder: Path
) -> None:
    server = start(processes, folder, "--dev", from_nothing=True)
    token_file = folder / "data" / "admin.token"
    assert token_file.stat().st_mode & 0o777 == 0o600
    assert str(token_file) in server.process.log()
    assert token_file.read_text().strip() not in server.process.log()  # trust 7.4
    with server.http() as http:
        assert http.get("/healthz").json() == {"status": "ok"}
        assert http.get("/api/v1/devices").json() == {"items": [], "next": None}
    before = time.monotonic()
    assert server.process.stop() == 0
    assert time.monotonic() - before < 5
    again = start(processes, folder, "--dev")
    assert "admin token" not in again.process.log()


def test_two_servers_do_not_work_in_one_folder(processes: Processes, folder: Path) -> None:
    start(processes, folder, "--dev")
    second = processes.start(
        [
            script("limosa"),
            "server",
            "run",
            "--data",
            str(folder / "data"),
            "--listen",
            "127.0.0.1:0",
            "--dev",
        ],
        name="second",
    )
    assert second.wait() == 1
    assert "LM-623" in second.log()


@pytest.mark.parametrize(
    "options, code, exit_code",
    [
        (("--listen", "0.0.0.0:0", "--dev"), "LM-608", 2),
        (("--listen", "nowhere", "--dev"), "LM-415", 2),
        (("--listen", "127.0.0.1:0"), "LM-621", 1),
    ],
)
def test_a_server_that_cannot_start_says_why(
    processes: Processes, tmp_path: Path, options: tuple[str, ...], code: str, exit_code: int
) -> None:
    process = processes.start(
        [script("limosa"), "server", "run", "--data", str(tmp_path / "data"), *options], name="server"
    )
    assert process.wait() == exit_code
    assert code in process.log()
    assert "hint:" in process.log()
    assert "Traceback" not in process.log()


def test_a_server_does_not_take_another_program_for_its_broker(processes: Processes, folder: Path) -> None:
    """Two fleets on one machine with the same port: the second talked over the first one's broker."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = str(stranger.getsockname()[1])
        data = str(folder / "data")
        command = [script("limosa"), "server", "run", "--data", data, "--listen", "127.0.0.1:0", "--dev"]
        process = processes.start([*command, "--mqtt-port", port], name="server")
        assert process.wait() == 1
    assert "LM-620" in process.log()
    assert "--mqtt-port" in process.log()
    assert '"ready"' not in process.log()


def test_a_damaged_database_is_named(processes: Processes, folder: Path) -> None:
    (folder / "data" / "limosa.db").write_bytes(b"this was a database once" * 100)
    command = [script("limosa"), "server", "run", "--data", str(folder / "data"), "--dev"]
    process = processes.start([*command, "--listen", "127.0.0.1:0", "--mqtt-port", "0"], name="server")
    assert process.wait() == 1
    assert "LM-626" in process.log()
    assert "limosa.db" in process.log()


@pytest.mark.parametrize("name, damage", [("timestamp.json", b""), ("timestamp.json", b'{"signed":{}}')])
def test_what_the_server_signed_itself_may_be_lost(
    processes: Processes, folder: Path, name: str, damage: bytes
) -> None:
    with running_fleet(folder):
        assert (folder / "data" / "tuf" / name).exists()
    (folder / "data" / "tuf" / name).write_bytes(damage)
    again = start(processes, folder, "--dev")
    with again.http() as http:
        assert "timestamp" in http.get("/tuf/metadata/timestamp.json").json()["signed"]["_type"]


def test_with_tls_everywhere_a_device_reports_over_mutual_tls(processes: Processes, folder: Path) -> None:
    server = start(processes, folder)
    assert server.url.startswith("https://")
    device = server.enroll()
    assert device.enrolled is not None
    assert device.enrolled.mqtt_tls
    files = BrokerTls(ca=folder / "ca.pem", certificate=folder / "device.crt", key=folder / "device.pem")
    files.ca.write_text(device.enrolled.ca_pem)
    files.certificate.write_text(device.enrolled.certificate_pem)
    files.key.write_bytes(device.key.pem())
    with connected(device.id, port=device.enrolled.mqtt_port, tls=files) as link:
        link.send(device.event("a"))
        link.wait_for_ack(1)
        with server.http() as http:  # trust 6.3: revoking also disconnects the live session
            assert http.post(f"/api/v1/devices/{device.id}/revoke").json()["state"] == "revoked"
        wait_until(lambda: not link.client.is_connected(), timeout_s=20, what="the revoked device is put out")
    assert server.process.stop() == 0
    assert server.events() == ["a"]


def test_the_server_is_killed_and_what_it_acknowledged_is_there_once(
    processes: Processes, folder: Path
) -> None:
    http_port, mqtt_port = free_port(), free_port()
    server = start(processes, folder, "--dev", http_port=http_port, mqtt_port=mqtt_port)
    device = server.enroll()
    messages = [device.event(f"{i:02}") for i in range(20)]
    with connected(device.id, port=mqtt_port) as link:
        for message in messages[:10]:
            link.send(message)
        link.wait_for_ack(10)
        server.process.kill()
        server = start(processes, folder, "--dev", http_port=http_port, mqtt_port=mqtt_port)

        def all_acknowledged() -> bool:
            if max(ack.seq for ack in link.acks) >= 20:
                return True
            for message in messages[5:]:  # go-back-N: some of them for the second time
                link.send(message)
            time.sleep(0.5)  # the device's own pace of sending again
            return False

        wait_until(all_acknowledged, timeout_s=40, what="everything is acknowledged")
    assert server.process.stop() == 0
    assert server.events() == [f"{i:02}" for i in range(20)]


def test_a_rule_of_two_persons_that_one_admin_gets_around_is_pointed_out(
    processes: Processes, folder: Path
) -> None:
    server = start(processes, folder, "--dev", "--two-person", "device.revoke")
    assert "--two-person token.create ends that" in server.process.log()
