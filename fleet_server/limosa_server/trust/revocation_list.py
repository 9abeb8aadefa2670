"""The list of revoked certificates that the broker reads (trust 6.3). No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from limosa_server.trust.pki import CLOCK_SKEW, DeviceAuthority

ANNOUNCED: Final = "revocations"  # by whoever revokes a certificate, at the commit
LIFE_S: Final = 90 * 86400.0
"""Until `nextUpdate`: with an expired list the broker refuses everybody, so it is far away (trust 6.3)."""
TICK: Final = timedelta(seconds=1)


def sign_list(
    authority: DeviceAuthority, serial_numbers: Iterable[int], *, now: float, before: bytes | None
) -> bytes:
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
    """Of every certificate on the list. Raises ValueError."""
    return frozenset(entry.serial_number for entry in x509.load_pem_x509_crl(pem))


def expires_at(pem: bytes) -> float:
    """Unix seconds. Raises ValueError."""
    end = x509.load_pem_x509_crl(pem).next_update_utc
    return end.timestamp() if end is not None else 0.0
