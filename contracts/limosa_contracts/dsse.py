"""DSSE envelopes (secure-systems-lab DSSE v1.0.2): a payload, its type, signatures over both."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from limosa_contracts.base64_text import b64
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import SignatureMismatch
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject
from limosa_contracts.signing_keys import PublicKey, Signs


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding, DSSE protocol section 2.

    >>> pae("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class DsseSignature:
    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A payload with its signatures; nothing in it may be believed before `verify`."""

    payload_type: str
    payload: bytes
    signatures: Sequence[DsseSignature]

    @classmethod
    def sign(cls, payload: bytes, *, payload_type: str, key: Signs, keyid: str = "") -> Self:
        """`keyid`: the key's, where many are signed with it: working it out takes as long as signing."""
        signature = DsseSignature(keyid=keyid or key.public.keyid, sig=key.sign(pae(payload_type, payload)))
        return cls(payload_type=payload_type, payload=payload, signatures=(signature,))

    def verify(self, key: PublicKey, *, payload_type: str) -> bytes:
        """The payload, if `key` signed it as `payload_type`. Raises SignatureMismatch."""
        if self.payload_type != payload_type:
            raise SignatureMismatch(
                "an envelope carries another type of document",
                why=f"{self.payload_type[:120]!r} instead of {payload_type!r}",
            )
        message = pae(payload_type, self.payload)
        if any(key.verifies(signature.sig, message) for signature in self.signatures):
            return self.payload
        raise SignatureMismatch(
            "no signature of an envelope verifies",
            why=f"under key {key.keyid[:12]}…; it is signed by "
            + (", ".join(s.keyid[:12] for s in self.signatures) or "nobody"),
        )

    def encode(self) -> bytes:
        return encode_canonical(
            {
                "payload": base64.b64encode(self.payload).decode(),
                "payloadType": self.payload_type,
                "signatures": [
                    {"keyid": s.keyid, "sig": base64.b64encode(s.sig).decode()} for s in self.signatures
                ],
            }
        )

    @classmethod
    def parse(cls, data: bytes, *, max_bytes: int) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge."""
        return cls.from_object(parse_object(data, what="envelope", max_bytes=max_bytes))

    @classmethod
    def from_object(cls, value: JsonObject) -> Self:
        fields = Fields(value, where="envelope")
        signatures = []
        for place, item in fields.items("signatures", max_items=8):
            entry = Fields(item, where=place)
            signatures.append(
                DsseSignature(
                    keyid=entry.text("keyid", max_chars=128, empty=True),
                    sig=b64(entry.text("sig"), where=place),
                )
            )
        return cls(
            payload_type=fields.text("payloadType", max_chars=256),
            payload=b64(
                fields.text("payload", max_chars=4 * 1024 * 1024, empty=True), where="envelope.payload"
            ),
            signatures=tuple(signatures),
        )
