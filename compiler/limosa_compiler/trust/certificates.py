"""The device CA and the server's own certificate (trust 1, 6). No I/O.

root CA (offline, 10 years) -> device CA (the server's, 1 year) -> devices, and the server's TLS.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from limosa_contracts.errors import InvalidField
from limosa_contracts.signing_keys import Algorithm, SigningKey

BACKDATED: Final = timedelta(days=1)  # devices' clocks are behind
ROOT_CA_LIFE: Final = timedelta(days=3650)
DEVICE_CA_LIFE: Final = timedelta(days=365)
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_HOST: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    key: SigningKey
    certificate: x509.Certificate

    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def make_root_ca(now: datetime) -> Authority:
    key = SigningKey.generate(Algorithm.P256)
    name = _name("Limosa root CA")
    builder = _builder(name, name, key, now, ROOT_CA_LIFE)
    return Authority(key=key, certificate=_sign_ca(builder, key, key, path_length=1))


def make_device_ca(root: Authority, now: datetime) -> Authority:
    key = SigningKey.generate(Algorithm.P256)
    builder = _builder(_name("Limosa device CA"), root.certificate.subject, key, now, DEVICE_CA_LIFE)
    return Authority(key=key, certificate=_sign_ca(builder, key, root.key, path_length=0))


def make_server_certificate(issuer: Authority, hosts: Sequence[str], now: datetime) -> Authority:
    """For TLS on loopback and on `hosts`; lives as long as its issuer. Raises InvalidField."""
    key = SigningKey.generate(Algorithm.P256)
    names = [parse_host(host) for host in dict.fromkeys((*LOOPBACK_NAMES, *hosts))]
    life = issuer.certificate.not_valid_after_utc - now
    builder = _builder(_name("Limosa server"), issuer.certificate.subject, key, now, life)
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    return Authority(key=key, certificate=_sign(builder, key, issuer.key))


def parse_host(text: str) -> x509.GeneralName:
    """An address or a DNS name, as a certificate holds it. Raises InvalidField."""
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        if len(text) <= 253 and _HOST.fullmatch(text):
            return x509.DNSName(text.lower())
    raise InvalidField(
        f"{text[:120]!r} is not the name of a host",
        where="host",
        why="a DNS name or IP address, no port",
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: SigningKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public.raw)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _sign_ca(
    builder: x509.CertificateBuilder, key: SigningKey, issuer_key: SigningKey, *, path_length: int
) -> x509.Certificate:
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    return _sign(builder.add_extension(_usage(ca=True), critical=True), key, issuer_key)


def _sign(builder: x509.CertificateBuilder, key: SigningKey, issuer_key: SigningKey) -> x509.Certificate:
    """Both key identifiers are there: verifiers in strict mode (Python >= 3.13) demand them."""
    assert isinstance(issuer_key.raw, ec.EllipticCurvePrivateKey)
    return (
        builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public.raw), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public.raw), critical=False
        )
        .sign(issuer_key.raw, hashes.SHA256())
    )


def _usage(*, digital_signature: bool = False, ca: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Limosa"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )
