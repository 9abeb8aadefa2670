"""Webhooks: signed, sent again until taken, and never into a network that only the server reaches."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import LimosaError, LinkLost
from limosa_server.access.roles import Role
from limosa_server.alerts.addresses import is_public, parse_destination, resolve
from limosa_server.alerts.evaluating import Evaluator
from limosa_server.alerts.sending import SendLimits, post
from limosa_server.alerts.webhooks import Sender
from limosa_server.errors import WebhookRefused
from limosa_server.tables.alerts import DeliveryRow, WebhookRow
from limosa_server.tables.devices import Device as DeviceRow
from tests.fleet_server.world import Fleet

LOCAL = ("127.0.0.1",)


@dataclass(slots=True)
class Receiver:
    """What a person would run: it answers with `status` and remembers what came."""

    url: str = ""
    status: int = 204
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def verify(self, secret: str, place: int = -1) -> dict[str, Any]:
        """As any library of Standard Webhooks does it."""
        headers, body = self.got[place]
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        mac = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
        assert f"v1,{mac}" in headers["webhook-signature"].split()
        found: dict[str, Any] = json.loads(body)
        return found


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.got.append(({key.lower(): value for key, value in self.headers.items()}, body))
            self.send_response(receiver.status)
            if 300 <= receiver.status < 400:
                self.send_header("Location", "http://169.254.169.254/latest/meta-data")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook?token=canary-in-the-path"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def sender(fleet: Fleet) -> Sender:
    object.__setattr__(fleet.state.settings, "webhook_hosts", LOCAL)
    return Sender(fleet.state)


def add(fleet: Fleet, url: str, **fields: Any) -> dict[str, Any]:
    answer = fleet.http.post(
        "/api/v1/webhooks", json={"name": "hook", "url": url, **fields}, headers=fleet.headers()
    )
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def shown(fleet: Fleet) -> dict[str, Any]:
    answer = fleet.http.get("/api/v1/webhooks", headers=fleet.headers(Role.VIEWER))
    found: dict[str, Any] = answer.json()["items"][0]
    return found


def silent_device(fleet: Fleet) -> None:
    fleet.http.put(
        "/api/v1/alerts/rules",
        json={"rule": [{"name": "silent", "source": "device_silent", "severity": "warning"}]},
        headers=fleet.headers(),
    )
    with fleet.state.store.transaction() as tx:
        tx.add(DeviceRow(id="dev-1", enrolled_at=0.0, last_seen=1.0))


def seen_again(fleet: Fleet) -> None:
    with fleet.state.store.transaction() as tx:
        device = tx.get_one(DeviceRow, "dev-1")
        device.last_seen = fleet.clock.now
        tx.add(device)


def test_an_alert_arrives_once_signed_and_so_does_its_end(
    fleet: Fleet, receiver: Receiver, sender: Sender
) -> None:
    secret = add(fleet, receiver.url)["secret"]
    silent_device(fleet)
    evaluator = Evaluator(fleet.state)
    for _ in range(3):
        evaluator.step()
        sender.step()
    assert len(receiver.got) == 1
    said = receiver.verify(secret)
    assert (said["schema"], said["event"], said["alert"]["devices"]) == (
        "limosa.alert/1",
        "firing",
        ["dev-1"],
    )
    seen_again(fleet)
    evaluator.step()
    sender.step()
    assert receiver.verify(secret)["event"] == "resolved"
    assert len(receiver.got) == 2
    assert "secret" not in shown(fleet)


def test_a_receiver_that_is_down_hears_later_how_it_stands_and_not_how_it_came(
    fleet: Fleet, receiver: Receiver, sender: Sender
) -> None:
    secret = add(fleet, receiver.url)["secret"]
    receiver.status = 503
    silent_device(fleet)
    evaluator = Evaluator(fleet.state)
    evaluator.step()
    sender.step()
    assert sender.step() == 0  # not at once again
    assert shown(fleet)["failure"] == "it answered 503"
    fleet.clock.now += 5
    assert sender.step() == 1
    first, second = (headers["webhook-id"] for headers, _ in receiver.got)
    assert first == second  # the same message: the receiver may tell that it is
    seen_again(fleet)
    evaluator.step()
    receiver.status = 200
    assert sender.step() == 1
    assert receiver.verify(secret)["event"] == "resolved"
    assert shown(fleet)["waiting"] == 0
    assert shown(fleet)["failure"] == ""


def test_a_message_is_given_up_after_a_day_and_the_page_says_so(
    fleet: Fleet, receiver: Receiver, sender: Sender
) -> None:
    add(fleet, receiver.url)
    receiver.status = 500
    fleet.http.post("/api/v1/webhooks/hook/test", headers=fleet.headers())
    tries = 0
    for _ in range(26):
        tries += sender.step()
        fleet.clock.now += 3600
    assert 20 < tries <= 26
    with fleet.state.store.read() as tx:
        assert tx.get_one(DeliveryRow, 1).next_at is None
    assert shown(fleet)["waiting"] == 0


def test_a_redirect_into_the_cloud_s_metadata_is_not_followed(
    fleet: Fleet, receiver: Receiver, sender: Sender
) -> None:
    add(fleet, receiver.url)
    receiver.status = 302
    fleet.http.post("/api/v1/webhooks/hook/test", headers=fleet.headers())
    sender.step()
    assert shown(fleet)["failure"] == "it answered 302: redirects are not followed"
    assert len(receiver.got) == 1


def test_what_a_webhook_is_called_by_is_secret_beyond_its_host(
    fleet: Fleet, receiver: Receiver, sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    made = add(fleet, receiver.url)
    receiver.status = 500
    fleet.http.post("/api/v1/webhooks/hook/test", headers=fleet.headers())
    sender.step()
    listed = fleet.http.get("/api/v1/webhooks", headers=fleet.headers(Role.VIEWER)).text
    audited = fleet.http.get("/api/v1/audit", headers=fleet.headers()).text
    metrics = fleet.http.get("/metrics", headers=fleet.headers()).text
    for text in (listed, audited, metrics, caplog.text):
        assert "canary-in-the-path" not in text
        assert made["secret"].removeprefix("whsec_") not in text
    with fleet.state.store.read() as tx:  # a stolen database signs nothing
        stored = tx.get_one(WebhookRow, "hook").model_dump_json()
    assert made["secret"].removeprefix("whsec_") not in stored


def test_only_an_admin_makes_the_server_speak_with_others(fleet: Fleet) -> None:
    body = {"name": "hook", "url": "https://hooks.example/x"}
    for role in (Role.VIEWER, Role.OPERATOR, Role.PUBLISHER, Role.APPROVER):
        answer = fleet.http.post("/api/v1/webhooks", json=body, headers=fleet.headers(role))
        assert answer.status_code == 403, role


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://[::1]/x",
        "https://10.1.2.3/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[2002:7f00:1::]/",
        "https://0.0.0.0/",
        "https://0/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[fe80::1%25lo]/",
        "https://224.0.0.1/",
        "https://192.0.2.1/",
        "http://9.9.9.9/",
        "https://user:secret@9.9.9.9/",
        "ftp://9.9.9.9/",
        "https:///x",
        "https://9.9.9.9:99999/",
        "https://9.9.9.9/\r\nX: y",
        "file:///etc/passwd",
        "https://9.9.9.9/#x",
    ],
)
def test_no_url_leads_the_server_to_itself_or_its_neighbours(url: str) -> None:
    with pytest.raises((WebhookRefused, OSError)):  # or there is no such address at all
        resolve(parse_destination(url, ()))


def test_a_webhook_into_a_private_network_is_refused_when_it_is_added(fleet: Fleet) -> None:
    body = {"name": "hook", "url": "https://169.254.169.254/latest/meta-data"}
    answer = fleet.http.post("/api/v1/webhooks", json=body, headers=fleet.headers())
    assert (answer.status_code, answer.json()["code"]) == (422, "LM-644"), answer.text
    assert "--webhook-host 169.254.169.254" in answer.json()["detail"]


def test_a_name_that_leads_elsewhere_after_the_check_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """DNS rebinding: the name is looked up once for each message, and that address is connected to."""
    looked: list[str] = []

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        looked.append(host)
        address = "9.9.9.9" if len(looked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    destination = parse_destination("https://hooks.example/x", ())
    assert resolve(destination) == ("9.9.9.9",)
    with pytest.raises(WebhookRefused):
        post(destination, b"{}", {}, limits=SendLimits())
    assert receiver.got == []


def test_one_private_address_among_public_ones_refuses_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        return [(2, 1, 6, "", (address, port)) for address in ("9.9.9.9", "192.168.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(WebhookRefused):
        resolve(parse_destination("https://hooks.example/x", ()))


def test_an_answer_that_drips_for_ever_is_cut_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def drip() -> None:
            link, _ = listener.accept()
            with link:
                while not stop.wait(0.05):
                    link.sendall(b"H")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        began = time.monotonic()
        with pytest.raises(LinkLost):
            post(parse_destination(url, LOCAL), b"{}", {}, limits=SendLimits(whole_s=0.5))
        assert time.monotonic() - began < 5
        stop.set()
        thread.join(5)


@given(st.ip_addresses())
def test_what_is_public_is_global_and_nothing_that_routes_inwards(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(address):
        assert address.is_global
        assert not any((address.is_private, address.is_loopback, address.is_link_local))
        assert not any((address.is_multicast, address.is_unspecified))


@given(st.text(max_size=60) | st.from_regex(r"https?://[^\s/]{1,30}(/[^\s]{0,20})?", fullmatch=True))
def test_any_text_is_a_destination_or_refused(url: str) -> None:
    try:
        found = parse_destination(url, ())
    except LimosaError as error:
        assert error.code == "LM-644"
    else:
        assert found.secure
        assert found.target.startswith("/")
        assert not set(found.target) & set("\r\n ")
