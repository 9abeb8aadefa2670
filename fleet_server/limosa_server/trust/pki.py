"""The device CA: certificates for devices, and whether one is ours (trust 6.1, 6.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from limosa_contracts.errors import InvalidField
from limosa_contracts.signing_keys import PublicKey, SigningKey
from limosa_server.errors import DeviceRevoked, StaleCertificate, WeakKey

CLOCK_SKEW: Final = timedelta(hours=1)  # a certificate is valid from a little before, for slow clocks


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCertificate:
    """`chain_pem` is what the device keeps: leaf first, then the intermediate."""

    chain_pem: str
    leaf_pem: str
    fingerprint: str
    serial_number: str
    not_after: float  # Unix seconds


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA's key and certificate."""

    key: SigningKey
    certificate: x509.Certificate

    def authority_identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public.raw)


@dataclass(frozen=True, slots=True)
class DeviceAuthority(Issuer):
    """The intermediate that issues device certificates. `root_pem` is what everybody trusts: one root CA,
    or while it is rotated several, the newest first.

    `former`: intermediates that it replaced; what they issued is good until it ends, and is proven against
    the database. The broker trusts those whose keys are still here, `trusted` (trust 1.2).
    """

    root_pem: str
    former: tuple[x509.Certificate, ...] = ()
    trusted: tuple[Issuer, ...] = ()

    @classmethod
    def parse(
        cls,
        *,
        key_pem: bytes,
        certificate_pem: bytes,
        root_pem: bytes,
        former: Iterable[tuple[bytes, bytes | None]] = (),
    ) -> Self:
        """`former`: (certificate, key) of those before. Raises InvalidField unless key and certificate
        belong together."""
        own = _issuer(key_pem, certificate_pem)
        certificates = dict(former)
        return cls(
            own.key,
            own.certificate,
            root_pem.decode(),
            former=tuple(x509.load_pem_x509_certificates(one)[0] for one in certificates),
            trusted=tuple(_issuer(key, one) for one, key in certificates.items() if key is not None),
        )

    @property
    def issuers(self) -> tuple[Issuer, ...]:
        """Those that the broker trusts, the one in use first."""
        return (self, *self.trusted)

    @property
    def intermediate_pem(self) -> str:
        """Of all that the broker trusts."""
        return "".join(_pem(issuer.certificate) for issuer in self.issuers)

    @property
    def roots(self) -> tuple[x509.Certificate, ...]:
        """The root CAs, the newest first. Raises ValueError."""
        return tuple(x509.load_pem_x509_certificates(self.root_pem.encode()))

    def issue(self, key: PublicKey, *, device: str, now: float, lifetime_s: float) -> IssuedCertificate:
        """A client certificate for `device`, no longer valid than the intermediate itself."""
        start = datetime.fromtimestamp(now, UTC)
        end = min(start + timedelta(seconds=lifetime_s), self.certificate.not_valid_after_utc)
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)]))
            .issuer_name(self.certificate.subject)
            .public_key(key.raw)
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(start - CLOCK_SKEW, self.certificate.not_valid_before_utc))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_digital_signature_only(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.raw), critical=False)
            .add_extension(self.authority_identifier(), critical=False)
            .sign(self.key.raw, hashes.SHA256())
        )
        pem = _pem(leaf)
        return IssuedCertificate(
            chain_pem=pem + _pem(self.certificate),
            leaf_pem=pem,
            fingerprint=fingerprint_of(leaf),
            serial_number=f"{leaf.serial_number:x}",
            not_after=end.timestamp(),
        )

    def check(self, leaf: x509.Certificate, *, device: str, now: float, grace_s: float = 0.0) -> None:
        """That we issued `leaf` to `device` and it is valid now, or was `grace_s` ago.

        Raises DeviceRevoked (not ours), StaleCertificate. Says nothing about revocation.
        """
        if not any(_issued(leaf, by) for by in (self.certificate, *self.former)):
            raise DeviceRevoked("the certificate was not issued by this fleet", where=f"device {device}")
        names = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if [name.value for name in names] != [device]:
            raise DeviceRevoked("the certificate is another device's", where=f"device {device}")
        if now > leaf.not_valid_after_utc.timestamp() + grace_s:
            raise StaleCertificate("the certificate has expired", where=f"device {device}")

    def issues(self, leaf: x509.Certificate) -> bool:
        """Whether it is of the device CA in use, not of one before."""
        return _issued(leaf, self.certificate)

    def is_of_newest_root(self, leaf: x509.Certificate) -> bool:
        root = self.roots[0]
        return any(_issued(leaf, by) and _issued(by, root) for by in (self.certificate, *self.former))


def _issuer(key_pem: bytes, certificate_pem: bytes) -> Issuer:
    """Raises InvalidField."""
    try:
        certificate = x509.load_pem_x509_certificates(certificate_pem)[0]
    except ValueError as error:
        raise InvalidField("the device CA's certificate cannot be read", where="device-ca.crt") from error
    key = SigningKey.parse(key_pem)
    if PublicKey.of(certificate.public_key()).keyid != key.public.keyid:
        raise InvalidField("the device CA's certificate is not for its key", where="device-ca.crt")
    return Issuer(key, certificate)


def _issued(leaf: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(by)
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        return False
    return True


def key_of_request(csr_pem: str) -> PublicKey:
    """The P-256 key of a certificate request that is signed by it; subject and extensions are ignored.

    Raises WeakKey.
    """
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        public = request.public_key()
        proven = request.is_signature_valid
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm, InvalidSignature) as error:
        raise WeakKey(
            "not a certificate request that can be read", where="csr", why=str(error)[:200]
        ) from error
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise WeakKey("a P-256 key is needed", where="csr", why=f"it is {type(public).__name__}")
    if not proven:
        raise WeakKey("the request is not signed by its own key", where="csr")
    return PublicKey(public)


def key_of_certificate(pem: str) -> PublicKey:
    return PublicKey.of(x509.load_pem_x509_certificate(pem.encode()).public_key())


def fingerprint_of(certificate: x509.Certificate) -> str:
    """sha256 of the DER, 64 hex digits."""
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _digital_signature_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
