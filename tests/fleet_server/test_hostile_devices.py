"""What one device, or one who stole a device, tries against all the others."""

from __future__ import annotations

import base64
import json
import random
import socket
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from limosa_contracts.assertion import ASSERTION_TYPE, GRANT_TYPE
from limosa_contracts.enrolment import REQUEST_SCHEMA
from limosa_contracts.topics import Suffix, device_topic
from limosa_server.access.roles import Role
from limosa_server.assembly import make_controller
from limosa_server.mqtt.broker import BrokerChild
from limosa_server.mqtt.broker_config import MOSQUITTO
from limosa_server.mqtt.bus import BrokerAddress
from limosa_server.mqtt.bus_workers import BusWorkers
from limosa_server.settings import ServerLimits
from limosa_server.tables.devices import Device as DeviceRow
from tests.fleet_server.mqtt_device import connected
from tests.fleet_server.test_bus import desire, events
from tests.fleet_server.world import BASE_URL, Device, Fleet, as_batch
from tests.support.programs import require_program
from tests.support.waiting import wait_until

BYTE_ORDER_MARK = "\ufeff".encode()
USER_PROPERTY, CONTENT_TYPE = b"\x26", b"\x03"


def text(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


@contextmanager
def raw_mqtt(port: int, client: str) -> Iterator[socket.socket]:
    """A connection that sends what no MQTT library would."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        body = text(b"MQTT") + b"\x05\x02\x00\x3c\x00" + text(client.encode())
        link.sendall(bytes([0x10, len(body)]) + body)
        assert link.recv(64)[0] == 0x20, "the broker let it in"
        yield link


def publish(link: socket.socket, topic: str, properties: bytes, *, qos: int) -> None:
    number = b"\x00\x01" if qos else b""
    body = text(topic.encode()) + number + bytes([len(properties)]) + properties + b"{}"
    link.sendall(bytes([0x30 | qos << 1, len(body)]) + body)
    if qos:
        assert link.recv(64)[0] == 0x40, "the broker took it"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerChild]:
    require_program("mosquitto")
    child = BrokerChild(MOSQUITTO, tmp_path / "broker", host="127.0.0.1", port=0, limits=ServerLimits())
    child.start()
    yield child
    child.stop()


@pytest.fixture
def bus(broker: BrokerChild, fleet: Fleet) -> Iterator[BusWorkers]:
    workers = BusWorkers(fleet.state, BrokerAddress(host=broker.host, port=broker.port))
    workers.start()
    wait_until(lambda: workers.bus.counts().connected, timeout_s=20, what="the server is connected")
    yield workers
    workers.stop()


@pytest.mark.parametrize(
    "properties, qos",
    [
        (USER_PROPERTY + text(b"sig") + text(BYTE_ORDER_MARK), 1),
        (USER_PROPERTY + text(BYTE_ORDER_MARK) + text(b"x"), 0),
        (CONTENT_TYPE + text(BYTE_ORDER_MARK), 1),
        (b"", 0),
    ],
    ids=["mark in a signature", "mark in a name", "mark in the content type", "QoS 0"],
)
def test_one_devices_unreadable_message_does_not_make_the_server_deaf(
    broker: BrokerChild, bus: BusWorkers, fleet: Fleet, properties: bytes, qos: int
) -> None:
    """paho ended the connection over it, and the broker delivered it again on each new one."""
    device = fleet.enroll()
    before = bus.bus.counts().connections
    with raw_mqtt(broker.port, "dev-evil") as link:
        publish(link, device_topic("dev-evil", Suffix.EVENT), properties, qos=qos)
    with connected(device.id, port=broker.port) as good:
        good.send(device.event("a"))
        good.wait_for_ack(1)
    assert events(fleet) == ["a"]
    assert bus.bus.counts().connections == before, "it never lost its connection"


@pytest.mark.parametrize("number", [2**63 - 1, 2**62 + 1])
def test_a_device_that_has_seen_the_last_counter_of_all_does_not_stop_its_rollout(
    fleet: Fleet, number: int
) -> None:
    """The next document's counter did not fit into the database, so no tick of the rollout ended well."""
    device = fleet.enroll()
    access = fleet.access(device)
    said = json.loads(device.reported().payload)
    said["desired"] = {"epoch": 1, "counter": number}
    device.seq = 0
    message = device.message(Suffix.REPORTED, json.dumps(said).encode())
    answer = fleet.http.post("/api/v1/device/reports", json=as_batch(message), headers=access)
    assert answer.json() == {"acks": [{"session": 7, "seq": 1}]}, "refused, and not sent again"
    director = make_controller(fleet.state).director
    with fleet.state.store.transaction() as tx:
        assert tx.get_one(DeviceRow, device.id).desired_counter == 0
        _, counter = director.issue(tx, device.id, now=fleet.clock.now)
    assert counter < 2**62


def test_who_stole_a_device_cannot_renew_once_it_has_enrolled_anew(fleet: Fleet) -> None:
    """An access token of the stolen key named the device only, and was good for a new certificate."""
    stolen = fleet.enroll()
    access = fleet.access(stolen)
    fleet.http.post(f"/api/v1/devices/{stolen.id}/revoke", headers=fleet.headers(Role.OPERATOR))
    fleet.enroll(fleet.enroll_token(device=stolen.id))
    for method, path, body in (
        ("POST", "/api/v1/device/renew", {"csr": stolen.csr()}),
        ("POST", "/api/v1/device/reports", as_batch(stolen.event("a"))),
        ("GET", "/api/v1/device/desired", None),
        ("GET", "/v2/", None),
    ):
        answer = fleet.http.request(method, path, json=body, headers=access)
        assert (answer.status_code, answer.json()["code"]) == (403, "LM-606"), path


@pytest.mark.parametrize(
    "header",
    ["Bearer lmd_a.é", "Bearer lmd_é.a", "Bearer é", "Basic é", "Basic dTpsbWRfYS7DqQ==", "Basic /w=="],
)
@pytest.mark.parametrize("path", ["/v2/", "/api/v1/device/desired", "/api/v1/devices"])
def test_credentials_that_are_not_ascii_are_none(fleet: Fleet, path: str, header: str) -> None:
    answer = fleet.http.get(path, headers=[(b"Authorization", header.encode("latin-1"))])
    assert (answer.status_code, answer.json()["code"]) == (401, "LM-402")


def test_documents_still_go_out_after_a_device_was_refused(
    broker: BrokerChild, bus: BusWorkers, fleet: Fleet
) -> None:
    device: Device = fleet.enroll()
    with raw_mqtt(broker.port, "dev-evil") as link:
        publish(link, device_topic("dev-evil", Suffix.STATUS), CONTENT_TYPE + text(BYTE_ORDER_MARK), qos=1)
    with connected(device.id, port=broker.port) as good:
        desire(fleet, device, b"one")
        assert bytes(good.received.get(timeout=20).payload) == b"one"


def token_status(fleet: Fleet, device: Device, certificate: bytes, **claims: float) -> int:
    """What the server says to an assertion with this certificate inside, signed by the device's key."""
    head = {"alg": "ES256", "x5c": [base64.b64encode(certificate).decode()]}
    body = {
        "iss": device.id,
        "sub": device.id,
        "aud": f"{BASE_URL}/api/v1/device/token",
        "iat": fleet.clock.now,
        "exp": fleet.clock.now + 60,
        "jti": uuid.uuid4().hex,
        **claims,
    }
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (head, body)]
    r, s = decode_dss_signature(device.key.sign(b".".join(parts)))
    raw = base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).rstrip(b"=")
    form = {
        "grant_type": GRANT_TYPE,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": b".".join([*parts, raw]).decode(),
    }
    return fleet.http.post("/api/v1/device/token", data=form).status_code


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_certificate_or_request_with_a_changed_byte_is_never_the_servers_fault(fleet: Fleet) -> None:
    """Every seventh was a 500, for anybody: what does not parse is only found when it is looked at."""
    device = fleet.enroll()
    assert device.enrolled is not None
    good = x509.load_pem_x509_certificate(device.enrolled.certificate_pem.encode())
    der = good.public_bytes(serialization.Encoding.DER)
    assert token_status(fleet, device, der) == 200
    request = x509.load_pem_x509_csr(device.csr().encode()).public_bytes(serialization.Encoding.DER)
    token = fleet.enroll_token()
    chance = random.Random(7)
    for _ in range(60):
        changed = bytearray(der)
        changed[chance.randrange(len(der))] ^= 1 << chance.randrange(8)
        assert token_status(fleet, device, bytes(changed)) in (403, 422)
        changed = bytearray(request)
        changed[chance.randrange(len(request))] ^= 1 << chance.randrange(8)
        lines = base64.encodebytes(bytes(changed)).decode()
        csr = f"-----BEGIN CERTIFICATE REQUEST-----\n{lines}-----END CERTIFICATE REQUEST-----\n"
        body = {"schema": REQUEST_SCHEMA, "token": token, "csr": csr}
        assert fleet.http.post("/api/v1/enroll", json=body).status_code == 422


@pytest.mark.parametrize("claims", [{"exp": 1e308}, {"iat": 0.0}, {"exp": 9e9}])
def test_an_assertion_for_all_time_is_refused(fleet: Fleet, claims: dict[str, float]) -> None:
    """Its number would have been kept for ever, and whoever finds it could use it for ever."""
    device = fleet.enroll()
    assert device.enrolled is not None
    good = x509.load_pem_x509_certificate(device.enrolled.certificate_pem.encode())
    assert token_status(fleet, device, good.public_bytes(serialization.Encoding.DER), **claims) == 422
