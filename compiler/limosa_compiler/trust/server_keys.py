"""Replaces what the server alone holds: its CA, its TLS certificate, its audit and access-token keys.

The running server takes each change up by itself. A device CA that was replaced stays beside the new one:
certificates that it issued are good until they end, or until `retire_device_ca`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from limosa_compiler.trust import folders, offline_root
from limosa_compiler.trust.certificates import (
    LOOPBACK_NAMES,
    Authority,
    make_device_ca,
    make_server_certificate,
)
from limosa_compiler.trust.errors import DamagedMetadata, RotationRefused
from limosa_compiler.trust.rotation import Places, Rotated, key_before
from limosa_contracts.signing_keys import Algorithm, PublicKey, SigningKey

FORMER: Final = "former-ca"
"""Folder of the server's, of device CAs that were replaced: `<serial>.crt`, and `<serial>.pem` until
the broker trusts it no more."""
CERTIFICATE_MAX_BYTES: Final = 64 * 1024
ACCESS_TOKEN_KEY_BYTES: Final = 32


def rotate_device_ca(places: Places, now: datetime) -> Rotated:
    """A new intermediate, signed by the offline root CA; the one before stays trusted beside it.

    Not one whose key is lost: nobody could sign its list of the revoked, and the broker would refuse all.
    """
    root = read_authority(places, places.offline / "ca.pem", places.offline / "ca.crt")
    before = device_ca(places) if (places.server / "keys" / "device-ca.pem").exists() else None
    fresh = make_device_ca(root, now)
    if before is not None:
        keep_former(places, before)
    # A server that looks in between finds a key without its certificate, and waits for the rest.
    write_private(places.server / "keys" / "device-ca.pem", fresh.key.pem())
    folders.write_durably(places.server / "device-ca.crt", fresh.pem())
    replaced = () if before is None else (before.key.public.keyid,)
    return Rotated(what="device CA", replaced=replaced, now=(fresh.key.public.keyid,))


def keep_former(places: Places, before: Authority) -> None:
    """Key and certificate, by its serial number: for the list of the revoked, until it is retired."""
    kept = places.server / FORMER / f"{before.certificate.serial_number:x}"
    with folders.refusals(kept, "make a folder"):
        kept.parent.mkdir(mode=folders.PRIVATE_FOLDER, exist_ok=True)
    folders.write_durably(kept.with_suffix(".pem"), before.key.pem(), mode=folders.PRIVATE_FILE)
    folders.write_durably(kept.with_suffix(".crt"), before.pem())


def retire_device_ca(places: Places) -> Rotated:
    """Throws the keys of replaced device CAs away: the broker trusts what they issued no more.

    Devices renew over HTTPS with such a certificate still, if the server itself knows it to have issued it.
    """
    gone = []
    for file in sorted((places.server / FORMER).glob("*.pem")):
        gone.append(offline_root.any_key(file, places.environment).public.keyid)
        folders.remove_durably(file)
    if not gone:
        raise RotationRefused("no device CA was replaced", where=str(places.server / FORMER))
    return Rotated(what="device CA", replaced=tuple(gone), now=(device_ca(places).key.public.keyid,))


def rotate_server_certificate(places: Places, now: datetime, *, hosts: Sequence[str] = ()) -> Rotated:
    """A new TLS key and certificate from the device CA, for the names of the one before and `hosts`."""
    issuer = tls_issuer(places)
    before = read_certificate(places.server / "server.crt")
    fresh = make_server_certificate(issuer, [*hosts_of(before), *hosts], now)
    write_private(places.server / "server.pem", fresh.key.pem())
    folders.write_durably(places.server / "server.crt", fresh.pem() + issuer.pem())
    keyid = PublicKey.of(before.public_key()).keyid
    return Rotated(what="server certificate", replaced=(keyid,), now=(fresh.key.public.keyid,))


def tls_issuer(places: Places) -> Authority:
    """The device CA; while the root CA is rotated one of the oldest root, which every device knows.

    Raises RotationRefused.
    """
    found = device_ca(places)
    oldest = roots_of(places)[-1]
    former = sorted((places.server / FORMER).glob("*.pem"))
    for issuer in (found, *(read_authority(places, key, key.with_suffix(".crt")) for key in former)):
        if issued_by(issuer.certificate, oldest):
            return issuer
    raise RotationRefused(
        "no device CA of the former root CA is here any more",
        where=str(places.server / FORMER),
        why="devices without the new root CA would not reach the server under another one",
        hint="limosa keys retire root-ca",
    )


def rotate_audit(places: Places) -> Rotated:
    """A new key for the heads of the audit trail; the server remembers the public half of the old one."""
    path = places.server / "keys" / "audit.pem"
    before, fresh = key_before(path, places.environment), SigningKey.generate(Algorithm.ED25519)
    write_private(path, fresh.pem())
    return Rotated(what="audit", replaced=before, now=(fresh.public.keyid,))


def rotate_access_token(places: Places) -> Rotated:
    """Devices ask for a new access token at their next request; people sign in to the pages again."""
    write_private(places.server / "keys" / "access-token.key", secrets.token_bytes(ACCESS_TOKEN_KEY_BYTES))
    return Rotated(what="access token", replaced=(), now=())


def roots_of(places: Places) -> list[x509.Certificate]:
    """Root CAs that devices and broker are told to trust, the newest first. Raises DamagedMetadata."""
    return _certificates(places.server / "ca.crt")


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def device_ca(places: Places) -> Authority:
    return read_authority(places, places.server / "keys" / "device-ca.pem", places.server / "device-ca.crt")


def read_authority(places: Places, key_file: Path, certificate_file: Path) -> Authority:
    """Raises DamagedMetadata for a certificate that is not for the key."""
    key = offline_root.any_key(key_file, places.environment)
    certificate = read_certificate(certificate_file)
    if PublicKey.of(certificate.public_key()).keyid != key.public.keyid:
        raise DamagedMetadata("a CA's certificate is not for its key", where=str(certificate_file))
    return Authority(key=key, certificate=certificate)


def read_certificate(path: Path) -> x509.Certificate:
    """The first of a file: of a chain its leaf. Raises DamagedMetadata."""
    return _certificates(path)[0]


def _certificates(path: Path) -> list[x509.Certificate]:
    data = folders.read_file(path, max_bytes=CERTIFICATE_MAX_BYTES)
    try:
        return x509.load_pem_x509_certificates(data)  # at least one, or ValueError
    except ValueError as error:
        raise DamagedMetadata("a certificate cannot be read", where=str(path), why=str(error)) from error


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """The hosts it is for, without those that every one is for."""
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = [*found.get_values_for_type(x509.DNSName)]
    hosts += [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return [host for host in hosts if host not in LOOPBACK_NAMES]


def write_private(path: Path, data: bytes) -> None:
    folders.write_durably(path, data, mode=folders.PRIVATE_FILE)
