"""A fleet server for one device, on real HTTP: enrols, signs desired states, commits reports as the wire
rules say. Over MQTT it needs a broker; without one the device uses HTTPS."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from limosa_contracts.assertion import parse_assertion
from limosa_contracts.desired import PAYLOAD_TYPE, DesiredModel, DesiredState, Trial
from limosa_contracts.dsse import Envelope
from limosa_contracts.enrolment import Enrolled, EnrollRequest
from limosa_contracts.event import UpdateEvent
from limosa_contracts.report_message import Ack, ReportMessage
from limosa_contracts.reported import Reported
from limosa_contracts.signing_keys import Algorithm, PublicKey, SigningKey
from limosa_contracts.topics import Suffix
from tests.agent.fetch.world import Published, World
from tests.support.hostile_server import HostileServer

DEVICE = "dev-test"


@dataclass(slots=True)
class ReportStore:
    """The server's side of the numbering in report_message.py: a high-water mark per session."""

    marks: dict[int, int] = field(default_factory=dict)
    rows: list[ReportMessage] = field(default_factory=list)

    def take(self, message: ReportMessage) -> Ack:
        mark = self.marks.get(message.session, 0)
        if message.prev <= mark < message.seq:
            self.rows.append(message)
            self.marks[message.session] = message.seq
        return Ack(session=message.session, seq=self.marks.get(message.session, 0))


@dataclass
class Fleet:
    world: World
    url: str = ""
    token: str = "lmt_abcdefghijkl." + "t" * 43
    tokens_used: int = 0
    ca_key: SigningKey = field(default_factory=lambda: SigningKey.generate(Algorithm.P256))
    mqtt_port: int = 1  # nobody listens there
    desired: bytes = b""
    counter: int = 0
    store: ReportStore = field(default_factory=ReportStore)
    device_key: PublicKey | None = None
    down: bool = False  # breaks every connection
    lose_answers: int = 0  # so many answers are lost after the work is done
    lock: threading.Lock = field(default_factory=threading.Lock)

    def want(self, release: Published, *, rollout: str = "r1", attempt: int = 1, **trial: Any) -> bytes:
        model = DesiredModel(
            model=str(release.name.name),
            version=release.name.version,
            index_sha256=release.index_sha256,
            rollout=rollout,
            attempt=attempt,
            trial=Trial(**{"inferences": 20, "seconds": 1.0, **trial}),
        )
        return self.want_models(model)

    def want_models(self, *models: DesiredModel, device: str = DEVICE, life_s: float = 3600.0) -> bytes:
        self.counter = max(self.counter + 1, int(time.time() * 1000))
        now = int(time.time())
        state = DesiredState(
            device=device,
            epoch=1,
            counter=self.counter,
            issued=min(now, int(now + life_s) - 1),
            expires=int(now + life_s),
            models=models,
            report_every_s=0.5,
            report_every_in_probation_s=0.5,
        )
        key = self.world.online_key("director")
        self.desired = Envelope.sign(state.encode(), payload_type=PAYLOAD_TYPE, key=key).encode()
        return self.desired

    def events(self) -> list[UpdateEvent]:
        with self.lock:
            return [UpdateEvent.parse(m.payload) for m in self.store.rows if m.suffix is Suffix.EVENT]

    def phases(self, rollout: str) -> list[str]:
        return [e.phase.value for e in self.events() if e.rollout == rollout and e.kind == "update"]

    def reported(self) -> Reported | None:
        with self.lock:
            rows = [m for m in self.store.rows if m.suffix is Suffix.REPORTED]
        return Reported.parse(rows[-1].payload) if rows else None

    def order(self) -> int:
        """The counter of the desired state that the device says it has."""
        last = self.reported()
        return last.desired[1] if last is not None else 0

    def serves(self, version: str) -> bool:
        last = self.reported()
        return last is not None and any(m.active and m.active.version == version for m in last.models)

    # -- what the device calls
    def enroll(self, body: bytes) -> tuple[int, dict[str, Any]]:
        request = EnrollRequest.parse(json.loads(body))
        if request.token != self.token or self.tokens_used:
            return 401, {"title": "used", "status": 401, "code": "LM-402", "detail": "no such token"}
        self.tokens_used += 1
        csr = x509.load_pem_x509_csr(request.csr_pem.encode())
        assert csr.is_signature_valid
        certificate = certify(self.ca_key, csr.public_key(), DEVICE)
        ca = certify(self.ca_key, self.ca_key.raw.public_key(), "ca", ca=True)
        self.device_key = PublicKey.of(csr.public_key())
        enrolled = Enrolled(
            device=DEVICE,
            certificate_pem=certificate,
            ca_pem=ca,
            tuf_root=self.world.keys.server["tuf/1.root.json"].decode(),
            mqtt_host="127.0.0.1",
            mqtt_port=self.mqtt_port,
            mqtt_tls=False,
            extra={"server": self.url},
        )
        return 201, enrolled.as_json()

    def answer(self, method: str, path: str, body: bytes, etag: str) -> tuple[int, bytes, dict[str, str]]:
        if path == "/api/v1/enroll":
            status, value = self.enroll(body)
            return status, json.dumps(value).encode(), {}
        if path == "/api/v1/device/token":
            form = parse_qs(body.decode())
            parse_assertion(form["client_assertion"][0], audience=self.url + path, now=time.time())
            return 200, json.dumps({"access_token": secrets.token_hex(8), "expires_in": 600}).encode(), {}
        if path == "/api/v1/device/renew":
            csr = x509.load_pem_x509_csr(json.loads(body)["csr"].encode())
            assert csr.is_signature_valid
            self.device_key = PublicKey.of(csr.public_key())
            value = {
                "certificate": certify(self.ca_key, csr.public_key(), DEVICE),
                "ca": certify(self.ca_key, self.ca_key.raw.public_key(), "ca", ca=True),
            }
            return 200, json.dumps(value).encode(), {}
        if path == "/api/v1/device/desired":
            if not self.desired:
                return 404, b"{}", {}
            document = self.desired  # once: a tag of the next one beside it would hide that one for ever
            tag = f'"{hashlib.sha256(document).hexdigest()}"'
            return (304, b"", {}) if etag == tag else (200, document, {"ETag": tag})
        if path == "/api/v1/device/reports":
            messages = json.loads(body)["messages"]
            return (
                200,
                json.dumps({"acks": [self.take(m).__dict__ for m in map(_message, messages)]}).encode(),
                {},
            )
        found = self.world.server.files.get(path)
        if found is None:
            return 404, b"", {}
        kind = self.world.server.media_types.get(path)
        return 200, found, {"Content-Type": kind} if kind else {}

    def take(self, message: ReportMessage) -> _AckFields:
        assert self.device_key is not None
        message.verify(self.device_key, device=DEVICE)
        with self.lock:
            ack = self.store.take(message)
        return _AckFields(ack.session, ack.seq)


class _AckFields:
    def __init__(self, session: int, seq: int) -> None:
        self.session = session
        self.seq = seq


def _message(value: Any) -> ReportMessage:
    return ReportMessage.from_json(value, where="message")


def certify(ca_key: SigningKey, public: Any, name: str, *, ca: bool = False, days: float = 30) -> str:
    assert isinstance(ca_key.raw, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(ca_key.raw, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@contextmanager
def running_fleet(folder: Path) -> Iterator[Fleet]:
    """Serves on a free loopback port until the end of the block."""
    fleet = Fleet(world=World.make(HostileServer(), folder))

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if fleet.down:
                return
            status, data, headers = fleet.answer(
                self.command, self.path, body, self.headers.get("If-None-Match", "")
            )
            if fleet.lose_answers and self.command == "POST":
                fleet.lose_answers -= 1
                return
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _serve  # noqa: N815  # the base class looks for these

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    fleet.url = fleet.world.server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fleet
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
