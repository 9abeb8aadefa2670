"""Devices join, once per token, and prove who they are afterwards (trust 6.1, 6.2)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from sqlmodel import select

from limosa_contracts.enrolment import REQUEST_SCHEMA
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_server.access.roles import Role
from limosa_server.tables.devices import Device as DeviceRow
from limosa_server.tables.devices import DeviceCertificate, DeviceLabel
from tests.fleet_server.world import Device, Fleet


def certificates(fleet: Fleet) -> int:
    with fleet.state.store.read() as tx:
        return len(tx.exec(select(DeviceCertificate)).all())


def request_of(token: str, csr: str) -> dict[str, str]:
    return {"schema": REQUEST_SCHEMA, "token": token, "csr": csr}


def test_a_device_joins_under_the_name_the_server_chose(fleet: Fleet) -> None:
    device = fleet.enroll(labels={"site": "lab"}, serial="s-1")
    assert device.enrolled is not None
    leaf = x509.load_pem_x509_certificates(device.enrolled.certificate_pem.encode())[0]
    assert leaf.subject.rfc4514_string() == f"CN={device.id}"
    assert device.enrolled.extra["server"] == "http://fleet.test:8443"
    assert '"root"' in device.enrolled.tuf_root
    with fleet.state.store.read() as tx:
        assert tx.get_one(DeviceRow, device.id).serial == "s-1"
        assert tx.get_one(DeviceLabel, (device.id, "site")).source == "device"


def test_a_token_used_twice_at_once_gives_exactly_one_certificate(fleet: Fleet) -> None:
    token = fleet.enroll_token()
    requests = [request_of(token, Device(key=SigningKey.generate(Algorithm.P256)).csr()) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        statuses = list(
            pool.map(lambda body: fleet.http.post("/api/v1/enroll", json=body).status_code, requests)
        )
    assert sorted(statuses) == [201] + [401] * 7
    assert certificates(fleet) == 1


def test_a_token_that_expired_lets_nobody_in(fleet: Fleet) -> None:
    token = fleet.enroll_token(expires_in_s=60)
    fleet.clock.now += 61
    answer = fleet.http.post(
        "/api/v1/enroll", json=request_of(token, Device(key=SigningKey.generate(Algorithm.P256)).csr())
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "LM-605")
    assert token.partition(".")[2] not in answer.text


def test_a_token_for_one_serial_number_refuses_another_and_stays_usable(fleet: Fleet) -> None:
    token = fleet.enroll_token(serial="s-1")
    body = request_of(token, Device(key=SigningKey.generate(Algorithm.P256)).csr())
    assert fleet.http.post("/api/v1/enroll", json={**body, "serial": "s-2"}).status_code == 401
    assert fleet.http.post("/api/v1/enroll", json={**body, "serial": "s-1"}).status_code == 201


def _signed(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _unproven() -> str:
    """A request for one key, signed by another: the public key inside is swapped."""
    good = Device(key=SigningKey.generate(Algorithm.P256)).csr()
    ours = x509.load_pem_x509_csr(good.encode())
    other = SigningKey.generate(Algorithm.P256).public.raw
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    public = ours.public_key().public_bytes(*form)
    der = ours.public_bytes(serialization.Encoding.DER).replace(public, other.public_bytes(*form))
    return x509.load_der_x509_csr(der).public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize(
    "csr",
    [
        _signed(rsa.generate_private_key(65537, 2048)),
        _signed(ec.generate_private_key(ec.SECP384R1())),
        _unproven(),
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "rubbish",
    ],
    ids=["rsa", "p384", "unproven", "cut", "rubbish"],
)
def test_a_weak_or_unproven_key_is_refused_and_the_token_not_used_up(fleet: Fleet, csr: str) -> None:
    token = fleet.enroll_token()
    answer = fleet.http.post("/api/v1/enroll", json=request_of(token, csr))
    assert (answer.status_code, answer.json()["code"]) == (422, "LM-609")
    assert fleet.enroll(token).id


def test_a_label_with_script_in_it_is_refused(fleet: Fleet) -> None:
    body = request_of(fleet.enroll_token(), Device(key=SigningKey.generate(Algorithm.P256)).csr())
    answer = fleet.http.post("/api/v1/enroll", json={**body, "labels": {"site": "<script>alert(1)</script>"}})
    assert answer.status_code == 422
    assert answer.json()["where"] == "labels"


def test_a_device_name_with_script_in_it_is_refused(fleet: Fleet) -> None:
    answer = fleet.http.post(
        "/api/v1/enrollment-tokens", json={"device": "<script>"}, headers=fleet.headers(Role.OPERATOR)
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "LM-410")


def test_a_device_cannot_take_the_servers_own_name(fleet: Fleet) -> None:
    answer = fleet.http.post(
        "/api/v1/enrollment-tokens", json={"device": "limosa-server"}, headers=fleet.headers(Role.OPERATOR)
    )
    assert answer.status_code == 422


def test_an_assertion_is_good_once(fleet: Fleet) -> None:
    device = fleet.enroll()
    form = device.assertion_form(fleet.clock.now, jti="once")
    assert fleet.http.post("/api/v1/device/token", data=form).status_code == 200
    again = fleet.http.post("/api/v1/device/token", data=form)
    assert (again.status_code, again.json()["code"]) == (401, "LM-611")


def test_an_assertion_for_another_server_is_refused(fleet: Fleet) -> None:
    form = fleet.enroll().assertion_form(fleet.clock.now, audience="https://evil.example")
    assert fleet.http.post("/api/v1/device/token", data=form).status_code == 422


def test_a_certificate_of_another_authority_gets_no_token(
    fleet: Fleet, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tests.fleet_server.world import running_fleet

    with running_fleet(tmp_path_factory.mktemp("other")) as other:
        stranger = other.enroll()
    answer = fleet.http.post("/api/v1/device/token", data=stranger.assertion_form(fleet.clock.now))
    assert (answer.status_code, answer.json()["code"]) == (403, "LM-606")


def test_an_access_token_ends_after_ten_minutes_and_cannot_be_changed(fleet: Fleet) -> None:
    device = fleet.enroll()
    access = fleet.access(device)
    assert fleet.http.get("/api/v1/device/desired", headers=access).status_code == 404  # nothing yet
    changed = {"Authorization": access["Authorization"][:-2] + "AA"}
    assert fleet.http.get("/api/v1/device/desired", headers=changed).status_code == 401
    fleet.clock.now += 601
    assert fleet.http.get("/api/v1/device/desired", headers=access).status_code == 401


def test_a_device_renews_with_a_new_key_also_after_its_certificate_expired(fleet: Fleet) -> None:
    device = fleet.enroll()
    fleet.clock.now += 31 * 86400
    access = fleet.access(device)
    fresh = Device(key=SigningKey.generate(Algorithm.P256))
    answer = fleet.http.post("/api/v1/device/renew", json={"csr": fresh.csr()}, headers=access)
    assert answer.status_code == 200
    assert certificates(fleet) == 2
    fleet.clock.now += 200 * 86400
    late = fleet.http.post("/api/v1/device/token", data=device.assertion_form(fleet.clock.now))
    assert (late.status_code, late.json()["code"]) == (403, "LM-610")


def test_a_revoked_device_is_out_at_once_and_back_only_by_an_operator(fleet: Fleet) -> None:
    device = fleet.enroll()
    access = fleet.access(device)
    fleet.http.post(f"/api/v1/devices/{device.id}/revoke", headers=fleet.headers(Role.OPERATOR))
    assert fleet.http.get("/api/v1/device/desired", headers=access).status_code == 403
    form = device.assertion_form(fleet.clock.now)
    assert fleet.http.post("/api/v1/device/token", data=form).status_code == 403
    back = fleet.enroll(fleet.enroll_token(device=device.id))
    assert back.id == device.id
    assert fleet.access(back)
    assert (
        fleet.http.post("/api/v1/device/token", data=device.assertion_form(fleet.clock.now)).status_code
        == 403
    )


def test_an_enrolment_token_puts_the_device_into_its_group(fleet: Fleet) -> None:
    operator = fleet.headers(Role.OPERATOR)
    fleet.http.post("/api/v1/groups", json={"name": "lab"}, headers=operator)
    fleet.http.post("/api/v1/groups", json={"name": "east", "selector": "site=east"}, headers=operator)
    device = fleet.enroll(fleet.enroll_token(group="lab", labels={"site": "east"}))
    for group in ("lab", "east"):
        members = fleet.http.get(f"/api/v1/groups/{group}/devices", headers=operator).json()["items"]
        assert device.id in str(members)
    unknown = fleet.http.post("/api/v1/enrollment-tokens", json={"group": "nowhere"}, headers=operator)
    assert unknown.status_code == 404
