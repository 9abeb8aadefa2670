"""Replaces the root CA under which devices, broker and server know one another (trust 1.2).

Both roots are trusted from `rotate_root_ca` on: the server tells devices of the new one, over the link that
the old one vouches for, and counts who has it. `retire_root_ca` ends the old one when nobody needs it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from limosa_compiler.trust import folders
from limosa_compiler.trust.certificates import make_device_ca, make_root_ca, make_server_certificate
from limosa_compiler.trust.errors import RootNotSpread, RotationRefused
from limosa_compiler.trust.rotation import Places, Rotated
from limosa_compiler.trust.server_keys import (
    FORMER,
    device_ca,
    hosts_of,
    issued_by,
    keep_former,
    read_certificate,
    roots_of,
    write_private,
)
from limosa_contracts.root_ca import ROOTS_MAX, SPREAD_FILE, SPREAD_MAX_BYTES, RootSpread
from limosa_contracts.signing_keys import PublicKey

SPREAD_AGE_MAX_S: Final = 86400.0  # what the server said before is not what is so now
NAMED_MAX: Final = 20  # devices in one message


def rotate_root_ca(places: Places, now: datetime) -> Rotated:
    """A new root CA beside the one before, whose key need not be there, and a device CA of the new one.

    The server's TLS certificate stays under the root before: by it devices come that know no other, and
    are told. Raises RotationRefused.
    """
    before = roots_of(places)
    if len(before) >= ROOTS_MAX:
        raise RotationRefused(
            f"{len(before)} root CAs are trusted already",
            where=str(places.server / "ca.crt"),
            hint="limosa keys retire root-ca",
        )
    fresh = make_root_ca(now)
    issuer = make_device_ca(fresh, now)
    write_private(places.offline / "ca.pem", fresh.key.pem())
    folders.write_durably(places.offline / "ca.crt", fresh.pem())
    if (places.server / "keys" / "device-ca.pem").exists():
        keep_former(places, device_ca(places))
    # First who trusts it, then who is issued by it. In between the server waits for the rest.
    folders.write_durably(places.server / "ca.crt", fresh.pem() + _pem(before))
    write_private(places.server / "keys" / "device-ca.pem", issuer.key.pem())
    folders.write_durably(places.server / "device-ca.crt", issuer.pem())
    return Rotated(what="root CA", replaced=_keyids(before), now=(fresh.key.public.keyid,))


def retire_root_ca(places: Places, now: datetime, *, without: Collection[str] = ()) -> Rotated:
    """The newest root CA alone is trusted, and the server's TLS certificate is of it.

    `without`: devices that are left behind; each must be named. Raises RootNotSpread, RotationRefused.
    """
    newest, *former = roots_of(places)
    if not former:
        raise RotationRefused("no root CA was replaced", where=str(places.server / "ca.crt"))
    issuer = device_ca(places)
    if not issued_by(issuer.certificate, newest):
        raise RotationRefused(
            "the device CA is not of the new root CA",
            where=str(places.server / "device-ca.crt"),
            hint="limosa keys rotate device-ca",
        )
    _check_spread(places, newest, now, without)
    hosts = hosts_of(read_certificate(places.server / "server.crt"))
    fresh = make_server_certificate(issuer, hosts, now)
    write_private(places.server / "server.pem", fresh.key.pem())
    folders.write_durably(places.server / "server.crt", fresh.pem() + issuer.pem())
    for key in sorted((places.server / FORMER).glob("*.pem")):
        if not issued_by(read_certificate(key.with_suffix(".crt")), newest):
            folders.remove_durably(key)
    folders.write_durably(
        places.server / "ca.crt", _pem([newest])
    )  # last: a command that was cut is repeated
    return Rotated(what="root CA", replaced=_keyids(former), now=_keyids([newest]))


def _check_spread(places: Places, newest: x509.Certificate, now: datetime, without: Collection[str]) -> None:
    """By what the server left in its trust folder. Raises RootNotSpread."""
    path = places.server / SPREAD_FILE
    hint = "is the server running? it writes this file by itself; where trust/ is a copy, fetch it anew"
    if not path.is_file():
        raise RootNotSpread("the server has not said who has the new root CA", where=str(path), hint=hint)
    spread = RootSpread.parse(folders.read_file(path, max_bytes=SPREAD_MAX_BYTES))
    if (
        spread.root != newest.fingerprint(hashes.SHA256()).hex()
        or abs(now.timestamp() - spread.at) > SPREAD_AGE_MAX_S  # by a clock that was ahead it never ends
    ):
        raise RootNotSpread(
            "what the server said about who has the new root CA is too old", where=str(path), hint=hint
        )
    left = [device for device in spread.devices if device not in without]
    unnamed = spread.missing - len(spread.devices)
    if left or unnamed > 0:
        raise RootNotSpread(
            f"{len(left) + max(0, unnamed)} devices have not got the new root CA, and would be shut out",
            where=str(path),
            why=", ".join(left[:NAMED_MAX]) + (" …" if len(left) > NAMED_MAX else ""),
        )


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def _keyids(certificates: Sequence[x509.Certificate]) -> tuple[str, ...]:
    return tuple(PublicKey.of(one.public_key()).keyid for one in certificates)
