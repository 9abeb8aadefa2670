"""Which root CAs a device trusts: what it says and is told, and whom a rotation waits for (trust 1.2).

A device posts `RootsHeld` and is answered with `RootsTold`; the server leaves a `RootSpread` in its trust
folder, which `limosa keys retire root-ca` reads.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import NAME, SHA256_HEX

HELD_SCHEMA: Final = "limosa.roots-held/1"
TOLD_SCHEMA: Final = "limosa.roots-told/1"
SPREAD_SCHEMA: Final = "limosa.root-spread/1"
SPREAD_FILE: Final = "devices/root-ca.json"
"""Below the server's trust folder."""
ROOTS_MAX: Final = 8  # root CAs at once: two while one is rotated
CA_MAX_CHARS: Final = 32768  # as in the answer to an enrolment
SPREAD_MAX_BYTES: Final = 4 * 1024 * 1024
SPREAD_DEVICES_MAX: Final = 10_000  # named in a file; all are counted
_BLOCK: Final = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


def fingerprints(pem: str) -> tuple[str, ...]:
    """sha256 of each certificate's DER, in their order. Raises InvalidField for none, or too many.

    It looks at no certificate's meaning: whoever trusts one lets its TLS library read it.
    """
    return tuple(hashlib.sha256(der).hexdigest() for der in _ders(pem))


def plain(pem: str) -> tuple[str, ...]:
    """Each certificate by itself, written as every TLS library reads it, and nothing of what stood around
    it: one that only `fingerprints` sees would be counted, and not be trusted. Raises InvalidField."""
    return tuple(_plain(der) for der in _ders(pem))


def _ders(pem: str) -> tuple[bytes, ...]:
    blocks = _BLOCK.findall(pem)
    if not 0 < len(blocks) <= ROOTS_MAX:
        raise InvalidField(f"{len(blocks)} certificates, not 1 to {ROOTS_MAX}", where="ca")
    try:
        return tuple(base64.b64decode("".join(block.split()), validate=True) for block in blocks)
    except (binascii.Error, ValueError) as error:
        raise InvalidField("a certificate is not base64", where="ca") from error


def _plain(der: bytes) -> str:
    text = base64.b64encode(der).decode()
    lines = (text[at : at + 64] for at in range(0, len(text), 64))
    return "\n".join(("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class RootsHeld:
    """What a device trusts now, as `fingerprints`."""

    has: tuple[str, ...]

    @classmethod
    def parse(cls, value: JsonValue) -> Self:
        """Raises InvalidField."""
        fields = Fields(value, where="roots")
        fields.schema(HELD_SCHEMA)
        return cls(has=fields.texts("has", pattern=SHA256_HEX, max_items=ROOTS_MAX))

    def encode(self) -> bytes:
        return encode_canonical({"schema": HELD_SCHEMA, "has": list(self.has)})


@dataclass(frozen=True, slots=True, kw_only=True)
class RootsTold:
    """What it shall trust from now on: PEM, the newest first. `renew`: its certificate is of a
    device CA that was replaced; it asks for a new one before that is due."""

    ca_pem: str
    renew: bool = False

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidField, InvalidJson, TooLarge."""
        fields = Fields(parse_object(data, what="roots"), where="roots")
        fields.schema(TOLD_SCHEMA)
        return cls(
            ca_pem=fields.text("ca", max_chars=CA_MAX_CHARS),
            renew=fields.optional("renew", fields.boolean, False),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {"schema": TOLD_SCHEMA, "ca": self.ca_pem, "renew": self.renew}


@dataclass(frozen=True, slots=True, kw_only=True)
class RootSpread:
    """How far the newest root CA has come. `devices`: those that have not said that they have it, by id,
    SPREAD_DEVICES_MAX of `missing` at most."""

    root: str  # its fingerprint
    at: int  # Unix seconds
    missing: int
    devices: tuple[str, ...]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidField, InvalidJson, TooLarge."""
        fields = Fields(
            parse_object(data, what="root spread", max_bytes=SPREAD_MAX_BYTES), where="root spread"
        )
        fields.schema(SPREAD_SCHEMA)
        return cls(
            root=fields.text("root", pattern=SHA256_HEX),
            at=fields.integer("at", low=0),
            missing=fields.integer("missing", low=0),
            devices=fields.texts("devices", pattern=NAME, max_items=SPREAD_DEVICES_MAX),
        )

    def encode(self) -> bytes:
        return encode_canonical(
            {
                "schema": SPREAD_SCHEMA,
                "root": self.root,
                "at": self.at,
                "missing": self.missing,
                "devices": list(self.devices),
            }
        )
