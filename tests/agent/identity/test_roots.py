"""Somebody has taken the fleet server, and names root CAs to its devices (trust, promise; 1.2).

The server is mended a week later. Until then it could delay; afterwards every device must find back.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from limosa_agent.config import AgentConfig
from limosa_agent.errors import RootsRefused
from limosa_agent.identity.enroll import enroll
from limosa_agent.identity.identity import Identity, load_identity, replace_certificate
from limosa_agent.identity.renew import renew
from limosa_agent.identity.roots import readable, roots_to_keep
from limosa_agent.link.mqtt import mqtt_context
from limosa_compiler.trust.certificates import (
    Authority,
    make_device_ca,
    make_root_ca,
    make_server_certificate,
)
from tests.agent.fleet import Fleet

NOW: Final = datetime.now(UTC)
BEGIN: Final = "-----BEGIN CERTIFICATE-----"


@pytest.fixture(scope="module")
def root() -> Authority:
    return make_root_ca(NOW)


@pytest.fixture
def device(fleet: Fleet, tmp_path: Path, root: Authority) -> tuple[AgentConfig, Identity]:
    config = AgentConfig(server=fleet.url, state_dir=tmp_path / "state")
    enroll(config, token=fleet.token, serial="")
    identity = load_identity(config.identity_dir)
    key, certificate = identity.key, identity.enrolled.certificate_pem
    replace_certificate(identity, key=key, certificate_pem=certificate, ca_pem=root.pem().decode())
    return config, load_identity(config.identity_dir)


def twin_of(root: x509.Certificate, *, named_alike: bool) -> str:
    """Another key under the name of `root`, and under the identifier of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(root.subject)
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
    )
    if named_alike:
        identifier = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        made = made.add_extension(identifier.value, critical=False)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def believes(device: ssl.SSLContext, root: Authority, folder: Path) -> bool:
    """Whether this device lets a server of `root` be the one it looked for."""
    issuer = make_device_ca(root, NOW)
    shown = make_server_certificate(issuer, [], NOW)
    path = folder / "shown.pem"
    path.write_bytes(shown.pem() + issuer.pem() + shown.key.pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    to_server, to_device = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = device.wrap_bio(to_device, to_server, server_hostname="localhost")
    server = context.wrap_bio(to_server, to_device, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return True


def one_line(pem: str) -> str:
    return pem.replace("\n", "")


def behind_a_word(pem: str) -> str:
    return pem.replace(BEGIN, f"x{BEGIN}")


@pytest.mark.parametrize("hide", [one_line, behind_a_word])
def test_a_root_that_only_we_can_see_in_an_answer_is_a_root_that_is_kept(
    device: tuple[AgentConfig, Identity], root: Authority, tmp_path: Path, hide: Callable[[str], str]
) -> None:
    """The old root was there for whoever counted certificates, and not for the TLS library: nothing seemed
    to be taken away, so nothing was tried, and the device believed the thief alone."""
    config, identity = device
    thief = make_root_ca(NOW)
    kept = roots_to_keep(config, identity, hide(root.pem().decode()) + "\n" + thief.pem().decode())
    key, certificate = identity.key, identity.enrolled.certificate_pem
    replace_certificate(identity, key=key, certificate_pem=certificate, ca_pem=kept)
    assert believes(mqtt_context(load_identity(config.identity_dir)), root, tmp_path)


@pytest.mark.parametrize("named_alike", [True, False])
def test_a_root_that_is_taken_for_the_one_there_is_refused(
    device: tuple[AgentConfig, Identity], root: Authority, tmp_path: Path, named_alike: bool
) -> None:
    """A TLS library takes the first of that name and key identifier, and looks at no other."""
    config, identity = device
    told = twin_of(root.certificate, named_alike=named_alike) + root.pem().decode()
    if named_alike:
        assert not believes(ssl.create_default_context(cadata=told), root, tmp_path), "what it would do"
    with pytest.raises(RootsRefused, match="told apart"):
        readable(told)
    assert roots_to_keep(config, identity, told) == identity.enrolled.ca_pem


def test_words_beside_the_certificates_do_not_reach_the_file(root: Authority) -> None:
    """Among them what a TLS library reads there: that a root is trusted for nothing."""
    pem = root.pem().decode()
    trusted = pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE")
    assert readable(f"{trusted}# of the fleet\r\n{pem}") == pem
    for broken in ("", trusted, pem.replace("MII", "AAA", 1)):
        with pytest.raises(RootsRefused):
            readable(broken)


def test_a_rotation_as_it_is_meant_is_taken_as_it_came(
    device: tuple[AgentConfig, Identity], root: Authority
) -> None:
    config, identity = device
    both = make_root_ca(NOW).pem().decode() + root.pem().decode()
    assert roots_to_keep(config, identity, both) == both


def test_a_certificate_that_not_every_library_reads_is_written_anew(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device read it, asked for tokens with it, and never got into the broker again."""
    config = AgentConfig(server=fleet.url, state_dir=tmp_path / "state")
    enroll(config, token=fleet.token, serial="")
    honest = fleet.answer

    def taken(method: str, path: str, body: bytes, etag: str) -> tuple[int, bytes, dict[str, str]]:
        status, said, headers = honest(method, path, body, etag)
        if path == "/api/v1/device/renew":
            answer = json.loads(said)
            said = json.dumps({**answer, "certificate": one_line(answer["certificate"])}).encode()
        return status, said, headers

    monkeypatch.setattr(fleet, "answer", taken)
    before = load_identity(config.identity_dir)
    renew(config, before)
    after = load_identity(config.identity_dir)
    assert after.key.public.keyid != before.key.public.keyid
    assert mqtt_context(after).verify_mode is ssl.CERT_REQUIRED, "key and certificate were taken"
