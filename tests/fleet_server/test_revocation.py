"""A revoked device is put out of the broker at once, and does not come in again (trust 6.3)."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from limosa_server.links import broker_address, child_broker
from limosa_server.mqtt.broker import BrokerChild
from limosa_server.mqtt.broker_config import BrokerTls
from limosa_server.mqtt.bus import BrokerAddress
from limosa_server.settings import ServerSettings
from limosa_server.trust.revocation_list import LIFE_S, expires_at, serial_numbers, sign_list
from limosa_server.trust.revocations import Revocations, list_path, renew_list
from tests.fleet_server.mqtt_device import connected
from tests.fleet_server.world import Device, Fleet
from tests.support.programs import require_program
from tests.support.waiting import wait_until

DAY_S = 86400.0
CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"  # MQTT 3.1.1, a clean session
CONNACK = b"\x20\x02\x00\x00"  # accepted


@dataclass(slots=True)
class Guarded:
    fleet: Fleet
    broker: BrokerChild
    address: BrokerAddress
    settings: ServerSettings
    folder: Path

    def tls(self, device: Device, name: str = "") -> BrokerTls:
        assert device.enrolled is not None
        stem = self.folder / (name or device.id)
        files = BrokerTls(
            ca=self.folder / "ca.pem", certificate=stem.with_suffix(".crt"), key=stem.with_suffix(".pem")
        )
        files.ca.write_text(device.enrolled.ca_pem)
        files.certificate.write_text(device.enrolled.certificate_pem)
        files.key.write_bytes(device.key.pem())
        return files

    def revocations(self) -> Revocations:
        return Revocations(self.fleet.state, self.address, self.broker.reload)

    def revoke(self, device: Device) -> None:
        answer = self.fleet.http.post(f"/api/v1/devices/{device.id}/revoke", headers=self.fleet.headers())
        assert answer.status_code == 200, answer.text

    def lets_in(self, files: BrokerTls) -> bool:
        """Whether the broker takes who shows these files for a client."""
        context = ssl.create_default_context(cafile=files.ca)
        context.load_cert_chain(files.certificate, files.key)
        try:
            with (
                socket.create_connection(("127.0.0.1", self.broker.port), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as link,
            ):
                link.sendall(CONNECT)
                return link.recv(len(CONNACK)) == CONNACK
        except (ssl.SSLError, ConnectionError):
            return False


@pytest.fixture
def guarded(fleet: Fleet, tmp_path: Path) -> Iterator[Guarded]:
    require_program("mosquitto")
    settings = fleet.state.settings
    secure = ServerSettings(data=settings.data, mqtt_port=0, broker="mosquitto")
    broker = child_broker(secure, fleet.state.trust, fleet.state.authority)
    broker.start()
    try:
        address = broker_address(secure, fleet.state.authority, broker)
        yield Guarded(fleet, broker, address, secure, tmp_path)
    finally:
        broker.stop()


def test_a_revoked_device_is_disconnected_and_stays_out_while_others_stay_in(guarded: Guarded) -> None:
    thief, other, third = guarded.fleet.enroll(), guarded.fleet.enroll(), guarded.fleet.enroll()
    revocations = guarded.revocations()
    assert revocations.step() == []
    with (
        connected(thief.id, port=guarded.broker.port, tls=guarded.tls(thief)) as theirs,
        connected(other.id, port=guarded.broker.port, tls=guarded.tls(other)) as ours,
    ):
        guarded.revoke(thief)
        assert revocations.step() == [thief.id]
        wait_until(lambda: not theirs.client.is_connected(), timeout_s=20, what="it is put out")
        assert not guarded.lets_in(guarded.tls(thief, "again"))
        assert guarded.lets_in(guarded.tls(third))
        assert ours.client.is_connected()
        assert (theirs.subscribed, ours.subscribed) == (1, 1)


def test_a_tls_session_from_before_does_not_get_a_revoked_device_in(guarded: Guarded) -> None:
    device = guarded.fleet.enroll()
    files = guarded.tls(device)
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.certificate, files.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def connect(session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        with (
            socket.create_connection(("127.0.0.1", guarded.broker.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as link,
        ):
            return link.session

    before = connect(None)
    guarded.revoke(device)
    guarded.revocations().step()
    with pytest.raises(ssl.SSLError, match=r"(?i)revoked"):
        connect(before)


def test_enrolled_again_the_old_certificate_is_out_and_the_new_one_in(guarded: Guarded) -> None:
    before = guarded.fleet.enroll()
    old = guarded.tls(before, "old")
    after = guarded.fleet.enroll(guarded.fleet.enroll_token(device=before.id))
    assert guarded.revocations().step() == [before.id]
    assert not guarded.lets_in(old)
    assert guarded.lets_in(guarded.tls(after, "new"))


def test_the_list_survives_the_broker_and_the_server(guarded: Guarded) -> None:
    device = guarded.fleet.enroll()
    guarded.revoke(device)
    guarded.revocations().step()
    guarded.broker.stop()
    again = child_broker(guarded.settings, guarded.fleet.state.trust, guarded.fleet.state.authority)
    again.start()
    try:
        guarded.broker = again
        assert not guarded.lets_in(guarded.tls(device))
    finally:
        again.stop()


def test_a_list_that_nobody_changes_is_renewed_long_before_it_expires(guarded: Guarded) -> None:
    """With an expired list the broker refuses the whole fleet."""
    path = list_path(guarded.settings.broker_folder)
    revocations = guarded.revocations()
    revocations.step()
    first = expires_at(path.read_bytes())
    assert first - time.time() > 30 * DAY_S
    guarded.fleet.clock.now += 2 * DAY_S
    revocations.step()
    assert expires_at(path.read_bytes()) > first + DAY_S


def test_a_list_takes_the_place_of_the_one_before_within_the_same_second(fleet: Fleet) -> None:
    authority = fleet.state.authority
    first = sign_list(authority, [1], now=1_800_000_000.0, before=None)
    second = sign_list(authority, [1, 2], now=1_800_000_000.2, before=first)
    dates = [x509.load_pem_x509_crl(pem).last_update_utc.timestamp() for pem in (first, second)]
    assert dates == [1_799_996_400.0, 1_799_996_401.0]
    assert serial_numbers(second) == {1, 2}
    assert expires_at(first) == 1_800_000_000.0 + LIFE_S


def test_a_clock_that_went_back_makes_no_list_from_the_future(fleet: Fleet) -> None:
    ahead = sign_list(fleet.state.authority, [1], now=1_800_000_000.0, before=None)
    now = sign_list(fleet.state.authority, [1], now=1_700_000_000.0, before=ahead)
    assert x509.load_pem_x509_crl(now).last_update_utc.timestamp() < 1_700_000_000.0


@pytest.mark.parametrize("damage", [b"", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"])
def test_a_damaged_list_is_made_anew(fleet: Fleet, tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "revoked.crl"
    path.write_bytes(damage)
    renew_list(path, fleet.state.authority, now=time.time())
    assert serial_numbers(path.read_bytes()) == frozenset()
