"""The list of revoked certificates that the broker reads (trust 6.3). No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from limosa_server.trust.pki import CLOCK_SKEW, DeviceAuthority, Issuer

ANNOUNCED: Final = "revocations"  # by whoever revokes a certificate, at the commit
LIFE_S: Final = 90 * 86400.0
"""Until `nextUpdate`: with an expired list the broker refuses everybody, so it is far away (trust 6.3)."""
TICK: Final = timedelta(seconds=1)
END: Final = b"-----END X509 CRL-----"


def sign_lists(
    authority: DeviceAuthority, serial_numbers: Iterable[int], *, now: float, before: bytes | None
) -> bytes:
    """One list for each issuer that the broker trusts: it refuses whose issuer has none. Serial numbers
    are random, so that one may stand on all lists."""
    numbers = frozenset(serial_numbers)
    known = {crl.issuer_key: crl.pem for crl in _split(before or b"")}
    return b"".join(
        sign_list(issuer, numbers, now=now, before=known.get(issuer.authority_identifier().key_identifier))
        for issuer in authority.issuers
    )


def sign_list(authority: Issuer, serial_numbers: Iterable[int], *, now: float, before: bytes | None) -> bytes:
    """PEM. Newer than `before`, the list that this one takes the place of: of two lists with one date
    OpenSSL keeps the one it read first. Never from the future: such a list is not taken at all."""
    this_update = datetime.fromtimestamp(int(now), UTC) - CLOCK_SKEW
    if before is not None:
        later = x509.load_pem_x509_crl(before).last_update_utc + TICK
        if this_update < later <= datetime.fromtimestamp(now, UTC):
            this_update = later
    dated = x509.RevokedCertificateBuilder().revocation_date(this_update)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(this_update)
        .next_update(datetime.fromtimestamp(int(now + LIFE_S), UTC))
        .add_extension(authority.authority_identifier(), critical=False)
        .add_extension(x509.CRLNumber(int(this_update.timestamp())), critical=False)
    )
    for number in sorted(serial_numbers):
        builder = builder.add_revoked_certificate(dated.serial_number(number).build())
    return builder.sign(authority.key.raw, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def serial_numbers(pem: bytes) -> frozenset[int]:
    """Of every certificate on the lists. Raises ValueError."""
    return frozenset(entry.serial_number for crl in _whole(pem) for entry in crl.read)


def expires_at(pem: bytes) -> float:
    """Unix seconds, of the list that ends first. Raises ValueError."""
    ends = [crl.read.next_update_utc for crl in _whole(pem)]
    return min(end.timestamp() if end is not None else 0.0 for end in ends)


def issuer_keys(pem: bytes) -> frozenset[bytes | None]:
    """Key identifiers of the issuers that have a list. Raises ValueError."""
    return frozenset(crl.issuer_key for crl in _whole(pem))


@dataclass(frozen=True, slots=True)
class _List:
    pem: bytes
    read: x509.CertificateRevocationList
    issuer_key: bytes | None


def _whole(pem: bytes) -> list[_List]:
    found = _split(pem)
    if not found:
        raise ValueError("there is no revocation list")
    return found


def _split(pem: bytes) -> list[_List]:
    """The lists in one file. Raises ValueError."""
    found = []
    for part in pem.split(END):
        if part.strip():
            one = part.lstrip() + END + b"\n"
            read = x509.load_pem_x509_crl(one)
            identifier = read.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
            found.append(_List(one, read, identifier.key_identifier))
    return found
