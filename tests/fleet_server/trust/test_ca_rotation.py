"""The device CA and the server's certificate are replaced under a live broker (trust 1.2, 6.3)."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from sqlmodel import select

from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_contracts.enrolment import Enrolled
from limosa_contracts.root_ca import fingerprints
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_server.links import child_broker, write_trusted
from limosa_server.mqtt.broker_config import BrokerTls
from limosa_server.tables.access import AuditRow
from limosa_server.trust.expiries import expiries
from limosa_server.trust.roots import CAME_OVER
from limosa_server.trust.watch import TrustWatch
from tests.fleet_server.mqtt_device import connected
from tests.fleet_server.test_revocation import Guarded, guarded
from tests.fleet_server.world import Device
from tests.support.waiting import wait_until

__all__ = ["guarded"]  # the fixture


@pytest.fixture
def live(guarded: Guarded) -> Iterator[Guarded]:
    """With the look at the trust folder that a running server has."""
    guarded.fleet.state.settings = replace(guarded.fleet.state.settings, dev=False)
    look(guarded)
    yield guarded
    guarded.fleet.state.settings = replace(guarded.fleet.state.settings, dev=True)


def look(live: Guarded) -> bool:
    def renew_certificates() -> None:
        write_trusted(live.settings, live.fleet.state.authority)
        live.broker.reload()

    return TrustWatch(live.fleet.state, renew_certificates).step()


def keys(live: Guarded, *words: str) -> None:
    places: list[str | Path] = ["--server", live.fleet.state.settings.trust]
    if words[0] == "rotate" and words[1] in ("device-ca", "root-ca"):
        places += ["--offline", live.fleet.offline]
    command = ["keys", *words, *(str(place) for place in places)]
    assert run(make_host(), prog_name="limosa", args=command) == 0
    live.fleet.clock.now += 2
    assert look(live)
    live.revocations().step()


def renewed(live: Guarded, device: Device) -> Device:
    """A new key and certificate, for what the device has now."""
    fresh = Device(key=SigningKey.generate(Algorithm.P256))
    answer = live.fleet.http.post(
        "/api/v1/device/renew", json={"csr": fresh.csr()}, headers=live.fleet.access(device)
    )
    assert answer.status_code == 200, answer.text
    assert device.enrolled is not None
    fresh.enrolled = Enrolled.parse(json.dumps({**device.enrolled.as_json(), **answer.json()}).encode())
    return fresh


def issuer_of(device: Device) -> x509.Certificate:
    assert device.enrolled is not None
    return x509.load_pem_x509_certificates(device.enrolled.certificate_pem.encode())[1]


def lets_in(live: Guarded, tls: BrokerTls) -> bool:
    """Once the broker has read its lists again: it does so between two messages."""
    wait_until(lambda: live.lets_in(tls), timeout_s=20, what="the broker lets it in")
    return True


def test_devices_of_both_issuers_are_let_in_and_revoked_while_the_broker_runs(live: Guarded) -> None:
    early, thief = live.fleet.enroll(), live.fleet.enroll()
    with connected(early.id, port=live.broker.port, tls=live.tls(early)) as session:
        keys(live, "rotate", "device-ca")
        late = live.fleet.enroll()
        assert issuer_of(late) != issuer_of(early)
        assert lets_in(live, live.tls(late))
        assert lets_in(live, live.tls(thief))
        live.revoke(thief)
        live.revoke(late)
        assert live.revocations().step() == sorted([thief.id, late.id])
        wait_until(lambda: not live.lets_in(live.tls(thief, "2")), timeout_s=20, what="out: former issuer")
        wait_until(lambda: not live.lets_in(live.tls(late, "2")), timeout_s=20, what="out: new issuer")
        assert session.client.is_connected()


def test_a_device_renews_into_the_new_issuer_by_itself(live: Guarded) -> None:
    device = live.fleet.enroll()
    keys(live, "rotate", "device-ca")
    fresh = renewed(live, device)
    assert issuer_of(fresh) != issuer_of(device)
    assert lets_in(live, live.tls(fresh))


def test_of_a_stolen_ca_nobody_is_let_in_any_more_and_real_devices_come_back_over_https(
    live: Guarded,
) -> None:
    device = live.fleet.enroll()
    stolen = live.fleet.state.authority
    keys(live, "rotate", "device-ca")
    keys(live, "retire", "device-ca")
    live.broker.stop()
    live.broker = child_broker(live.settings, live.fleet.state.trust, live.fleet.state.authority)
    live.broker.start()
    try:
        forged = Device(key=SigningKey.generate(Algorithm.P256))
        issued = stolen.issue(
            forged.key.public, device=device.id, now=live.fleet.clock.now, lifetime_s=86400.0
        )
        assert device.enrolled is not None
        forged.enrolled = replace(device.enrolled, certificate_pem=issued.chain_pem)
        assert not live.lets_in(live.tls(forged, "forged"))
        form = forged.assertion_form(live.fleet.clock.now)
        assert live.fleet.http.post("/api/v1/device/token", data=form).status_code == 403
        assert not live.lets_in(live.tls(device))
        assert lets_in(live, live.tls(renewed(live, device), "renewed"))
    finally:
        live.broker.stop()


def test_the_broker_shows_a_new_certificate_without_ending_a_session(live: Guarded) -> None:
    device = live.fleet.enroll()
    before = ssl.get_server_certificate(("127.0.0.1", live.broker.port))
    with connected(device.id, port=live.broker.port, tls=live.tls(device)) as session:
        keys(live, "rotate", "server-certificate")
        wait_until(
            lambda: ssl.get_server_certificate(("127.0.0.1", live.broker.port)) != before,
            timeout_s=20,
            what="the new certificate is shown",
        )
        assert session.client.is_connected()
    assert lets_in(live, live.tls(device, "2"))


def without_root(live: Guarded) -> list[str]:
    answer = live.fleet.http.get("/api/v1/server/root-ca", headers=live.fleet.headers())
    assert answer.status_code == 200, answer.text
    return [one["device"] for one in answer.json()["items"]]


def test_an_agent_from_before_comes_over_with_its_next_certificate(live: Guarded) -> None:
    """It knows nothing of root CAs that change; it has always stored what came with a certificate."""
    device = live.fleet.enroll()
    assert device.enrolled is not None
    before = device.enrolled.ca_pem
    keys(live, "rotate", "root-ca")
    assert without_root(live) == [device.id]
    assert lets_in(live, live.tls(device)), "with what it has"
    fresh = renewed(live, device)
    assert without_root(live) == [device.id], "the answer may have been lost on its way"
    assert fresh.enrolled is not None
    assert fresh.enrolled.ca_pem.endswith(before)
    assert len(fresh.enrolled.ca_pem) > len(before)
    live.fleet.access(fresh)
    assert without_root(live) == []
    assert lets_in(live, live.tls(fresh, "renewed"))


def test_a_new_device_has_the_new_root_from_the_start_and_one_that_left_is_not_waited_for(
    live: Guarded,
) -> None:
    early, thief = live.fleet.enroll(), live.fleet.enroll()
    keys(live, "rotate", "root-ca")
    live.revoke(thief)
    late = live.fleet.enroll()
    assert without_root(live) == [early.id]
    assert lets_in(live, live.tls(late))


def test_a_device_that_says_it_has_the_new_root_but_not_a_certificate_of_it_is_waited_for(
    live: Guarded,
) -> None:
    """Else it would believe the broker, and the broker not believe it."""
    device = live.fleet.enroll()
    keys(live, "rotate", "root-ca")
    access = live.fleet.access(device)
    told = live.fleet.http.post(
        "/api/v1/device/roots", json={"schema": "limosa.roots-held/1", "has": []}, headers=access
    ).json()
    assert told["renew"] is True
    held = {"schema": "limosa.roots-held/1", "has": list(fingerprints(told["ca"]))}
    assert live.fleet.http.post("/api/v1/device/roots", json=held, headers=access).json()["renew"] is True
    assert without_root(live) == [device.id]
    fresh = renewed(live, device)
    said = live.fleet.http.post("/api/v1/device/roots", json=held, headers=live.fleet.access(fresh)).json()
    assert said["renew"] is False
    assert without_root(live) == []


def test_a_device_that_says_now_this_and_now_that_does_not_fill_the_audit(live: Guarded) -> None:
    """The audit is for ever: one device wrote a row into it with each request."""
    device = live.fleet.enroll()
    keys(live, "rotate", "root-ca")
    access = live.fleet.access(renewed(live, device))

    def says(*has: str) -> list[str]:
        held = {"schema": "limosa.roots-held/1", "has": list(has)}
        answer = live.fleet.http.post("/api/v1/device/roots", json=held, headers=access)
        return list(fingerprints(answer.json()["ca"]))

    new, old = says()
    for _ in range(5):
        says(new)
        assert without_root(live) == []
        says(old)
        assert without_root(live) == [device.id], "what it says last is what counts"
    with live.fleet.state.store.read() as tx:
        rows = tx.exec(select(AuditRow).where(AuditRow.action == CAME_OVER)).all()
    assert [row.after for row in rows] == [f'{{"root":"{one}"}}' for one in (old, new)]


def test_what_was_replaced_stands_in_the_audit_and_among_the_keys(live: Guarded) -> None:
    keys(live, "rotate", "root-ca")
    rows = live.fleet.http.get("/api/v1/audit", params={"limit": 100}, headers=live.fleet.headers()).json()
    assert {"root CA", "device CA"} <= {
        row["object"] for row in rows["items"] if row["action"] == "key.replace"
    }
    names = [one.key for one in expiries(live.fleet.state, live.fleet.clock.now)]
    assert len([name for name in names if name.startswith("root CA/")]) == 2
