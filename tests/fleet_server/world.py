"""A fleet server in this process, with a clock that tests move, and devices with real keys."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from limosa_compiler.trust.ceremony import init_keys
from limosa_contracts.assertion import ASSERTION_TYPE, GRANT_TYPE, make_assertion
from limosa_contracts.enrolment import REQUEST_SCHEMA, Enrolled
from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.phases import Phase
from limosa_contracts.report_message import ReportMessage
from limosa_contracts.reported import Installed, Reported, ReportedModel
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_contracts.topics import Suffix
from limosa_contracts.window import Window, empty_sketch
from limosa_server.access import tokens
from limosa_server.access.roles import Role
from limosa_server.app import create_app
from limosa_server.assembly import make_state
from limosa_server.deploy.check_counters import check_counters
from limosa_server.settings import DeltaSettings, ServerLimits, ServerSettings
from limosa_server.state import Endpoints, ServerState
from tests.fleet_server.databases import with_schema
from tests.fleet_server.serving import served

TEAM = "demo"
MODEL = "demo/motion"
BASE_URL = "http://fleet.test:8443"
SHA = "ab" * 32
BASELINE_ID = "1" * 16


@dataclass(slots=True)
class Clock:
    now: float

    def __call__(self) -> float:
        return self.now


def make_trust(folder: Path, *, one_root_key: bool = True) -> None:
    """`folder/offline` and `folder/data/trust`, as `limosa keys init --dev` makes them, or without --dev."""
    init_keys(
        offline=folder / "offline",
        server=folder / "data" / "trust",
        team=TEAM,
        now=datetime.now(UTC),
        dev=one_root_key,
    )


@dataclass(slots=True)
class Fleet:
    """The server's state and its API."""

    state: ServerState
    clock: Clock
    offline: Path
    http: httpx.Client

    def token(
        self, role: Role, *, name: str = "", team: str = "", group: str = "", expires_in_s: float = 3600.0
    ) -> str:
        """`name`: who it is given to; people are told apart by it."""
        with self.state.store.transaction() as tx:
            return tokens.create_api_token(
                tx,
                name=name or role.value,
                role=role,
                team=team,
                group=group,
                created_by="test",
                at=self.clock.now,
                expires_at=self.clock.now + expires_in_s,
            ).text

    def headers(
        self, role: Role = Role.ADMIN, *, name: str = "", team: str = "", group: str = ""
    ) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(role, name=name, team=team, group=group)}"}

    def enroll_token(self, **fields: Any) -> str:
        answer = self.http.post("/api/v1/enrollment-tokens", json=fields, headers=self.headers(Role.OPERATOR))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def enroll(self, token: str = "", **fields: Any) -> Device:
        device = Device(key=SigningKey.generate(Algorithm.P256))
        body = {
            "schema": REQUEST_SCHEMA,
            "token": token or self.enroll_token(),
            "csr": device.csr(),
            **fields,
        }
        answer = self.http.post("/api/v1/enroll", json=body)
        assert answer.status_code == 201, answer.text
        device.enrolled = Enrolled.parse(answer.content)
        return device

    def access(self, device: Device, *, jti: str = "") -> dict[str, str]:
        answer = self.http.post("/api/v1/device/token", data=device.assertion_form(self.clock.now, jti=jti))
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@contextmanager
def running_fleet(
    folder: Path,
    limits: ServerLimits | None = None,
    deltas: DeltaSettings | None = None,
    *,
    database_url: str = "",
    one_root_key: bool = True,
) -> Iterator[Fleet]:
    if not (folder / "data" / "trust").exists():  # a test may have made other keys
        make_trust(folder, one_root_key=one_root_key)
    clock = Clock(datetime.now(UTC).timestamp())
    settings = ServerSettings(
        data=folder / "data",
        database_url=database_url,
        dev=True,
        limits=limits or ServerLimits(),
        delta_settings=deltas or DeltaSettings(),
    )
    state = _state(settings, clock)
    try:
        with served(create_app(state)) as http:
            yield Fleet(state, clock, folder / "offline", http)
        with state.store.read() as tx:
            assert list(check_counters(tx)) == [], "counters are kept, and are what their rows are"
    finally:
        state.deltas.stop()
        state.store.close()


def sign_first(folder: Path, *, database_url: str = "") -> None:
    """Leaves in `folder` and the database what a server's first start makes; no server runs then."""
    make_trust(folder)
    settings = ServerSettings(data=folder / "data", database_url=database_url, dev=True)
    state = _state(settings, Clock(datetime.now(UTC).timestamp()))
    state.deltas.stop()
    state.store.close()


def _state(settings: ServerSettings, clock: Clock) -> ServerState:
    if isinstance(settings.database, Path):
        with_schema(settings.database)
    endpoints = Endpoints(base_url=BASE_URL, mqtt_host="127.0.0.1", mqtt_port=1, mqtt_tls=False)
    return make_state(settings, endpoints, clock)


@dataclass(slots=True)
class Device:
    """What a device holds: its key, and what enrolment gave it; its outbox numbers its messages."""

    key: SigningKey
    enrolled: Enrolled | None = None
    session: int = 7
    seq: int = 0

    @property
    def id(self) -> str:
        assert self.enrolled is not None
        return self.enrolled.device

    def csr(self) -> str:
        """Its subject is a lie, which the server ignores."""
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody-else")])
        request = (
            x509.CertificateSigningRequestBuilder().subject_name(name).sign(self.key.raw, hashes.SHA256())
        )
        return request.public_bytes(serialization.Encoding.PEM).decode()

    def assertion_form(self, now: float, *, jti: str = "", audience: str = BASE_URL) -> dict[str, str]:
        assert self.enrolled is not None
        assertion = make_assertion(
            self.key,
            self.enrolled.certificate_pem.encode(),
            device=self.id,
            audience=audience + "/api/v1/device/token",
            now=now,
            jti=jti or uuid.uuid4().hex,
        )
        return {
            "grant_type": GRANT_TYPE,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }

    def message(self, suffix: Suffix, payload: bytes, *, key: SigningKey | None = None) -> ReportMessage:
        """The next one of its outbox."""
        before, self.seq = self.seq, self.seq + 1
        return ReportMessage.sign(
            key or self.key,
            device=self.id,
            suffix=suffix,
            session=self.session,
            seq=self.seq,
            prev=before,
            payload=payload,
        )

    def event(self, key: str, phase: Phase = Phase.COMMITTED) -> ReportMessage:
        event = UpdateEvent(
            device=self.id,
            key=key,
            kind="update",
            model=MODEL,
            version="1.0.0",
            index_sha256=SHA,
            manifest_sha256="",
            rollout="",
            attempt=1,
            phase=phase,
            reason=Reason(code="", message=""),
            at=1.0,
            boot="b1",
        )
        return self.message(Suffix.EVENT, event.encode())

    def window(self, *, index: int, rev: int, n: int, baseline: str = BASELINE_ID) -> ReportMessage:
        window = Window(
            device=self.id,
            model=MODEL,
            version="1.0.0",
            model_digest="0" * 16,
            baseline=baseline,
            boot="b1",
            index=index,
            rev=rev,
            clock="ntp",
            started_mono_s=0.0,
            started_at=1.0,
            length_s=10.0,
            n=n,
            counters={"inferences": n},
            sketch=empty_sketch(bins=(32,), classes=3),
        )
        return self.message(Suffix.WINDOW, window.encode())

    def reported(self, *, version: str = "1.0.0", labels: dict[str, str] | None = None) -> ReportMessage:
        state = Reported(
            device=self.id,
            agent="0.1.0",
            boot="b1",
            clock="ntp",
            at=1.0,
            desired=(1, 5),
            models=(
                ReportedModel(
                    model=MODEL,
                    phase=Phase.COMMITTED,
                    active=Installed(version=version, index_sha256=SHA, manifest_sha256=SHA),
                ),
            ),
            capabilities={"profile": "cpu-generic"},
            labels=labels or {},
        )
        return self.message(Suffix.REPORTED, state.encode())


def as_batch(*messages: ReportMessage) -> dict[str, Any]:
    return {"messages": [json.loads(json.dumps(message.as_json())) for message in messages]}
