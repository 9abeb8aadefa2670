"""One signed message on its way up: how it is numbered, signed and acknowledged (trust 4.5, agent 6.2).

A device numbers its outbox: `session` is drawn once when the outbox is made, `seq` grows by one or
more per row, and `prev` is the seq of the row sent before it (0 for the first). The server accepts
a message only when it has committed everything up to `prev`; so one cumulative number acknowledges
all, a lost message stops nothing for good (the device sends again from the first that is not
acknowledged), and a doubled one changes nothing.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.base64_text import b64
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import InvalidField, SignatureMismatch
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.signing_keys import PublicKey, SigningKey
from limosa_contracts.topics import SIGNED, Suffix

ACK_SCHEMA: Final = "limosa.ack/1"
_SUFFIXES: Final = tuple(suffix.value for suffix in sorted(SIGNED, key=lambda s: s.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportMessage:
    """Over MQTT the fields beside `payload` travel as user properties of the same names."""

    suffix: Suffix
    session: int
    seq: int
    prev: int
    payload: bytes
    sig: bytes

    @staticmethod
    def signed_bytes(
        *, device: str, suffix: Suffix, session: int, seq: int, prev: int, payload: bytes
    ) -> bytes:
        """What the device's key signs.

        >>> ReportMessage.signed_bytes(
        ...     device="d1", suffix=Suffix.EVENT, session=7, seq=2, prev=1, payload=b"{}")
        b'limosa-report/1\\nd1\\nevt\\n7\\n2\\n1\\n{}'
        """
        head = f"limosa-report/1\n{device}\n{suffix.value}\n{session}\n{seq}\n{prev}\n"
        return head.encode() + payload

    @classmethod
    def sign(
        cls,
        key: SigningKey,
        *,
        device: str,
        suffix: Suffix,
        session: int,
        seq: int,
        prev: int,
        payload: bytes,
    ) -> Self:
        message = cls.signed_bytes(
            device=device, suffix=suffix, session=session, seq=seq, prev=prev, payload=payload
        )
        return cls(suffix=suffix, session=session, seq=seq, prev=prev, payload=payload, sig=key.sign(message))

    def verify(self, key: PublicKey, *, device: str) -> None:
        """Raises SignatureMismatch unless `device`'s key signed exactly this."""
        message = self.signed_bytes(
            device=device,
            suffix=self.suffix,
            session=self.session,
            seq=self.seq,
            prev=self.prev,
            payload=self.payload,
        )
        if not key.verifies(self.sig, message):
            raise SignatureMismatch("a device's report is not signed by its key", where=f"device {device}")

    def properties(self) -> list[tuple[str, str]]:
        """The MQTT user properties of this message."""
        return [
            ("session", str(self.session)),
            ("seq", str(self.seq)),
            ("prev", str(self.prev)),
            ("sig", base64.b64encode(self.sig).decode()),
        ]

    @classmethod
    def from_mqtt(cls, *, suffix: Suffix, properties: list[tuple[str, str]], payload: bytes) -> Self:
        """Raises InvalidField."""
        found = dict(properties)
        if len(found) != len(properties):
            raise InvalidField("a user property occurs twice", where="mqtt")
        return cls(
            suffix=_signed(suffix),
            session=_number(found, "session"),
            seq=_number(found, "seq"),
            prev=_number(found, "prev"),
            payload=payload,
            sig=b64(found.get("sig", ""), where="mqtt.sig"),
        )

    def as_json(self) -> dict[str, JsonValue]:
        """One element of the batch that goes up over HTTPS; the payload stays readable text."""
        return {
            "suffix": self.suffix.value,
            "session": self.session,
            "seq": self.seq,
            "prev": self.prev,
            "payload": self.payload.decode(),
            "sig": base64.b64encode(self.sig).decode(),
        }

    @classmethod
    def from_json(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        return cls(
            suffix=Suffix(fields.choice("suffix", _SUFFIXES)),
            session=fields.integer("session", low=0),
            seq=fields.integer("seq", low=1),
            prev=fields.integer("prev", low=0),
            payload=fields.text("payload", max_chars=1024 * 1024).encode(),
            sig=b64(fields.text("sig", max_chars=512), where=where),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """Everything of `session` up to and including `seq` is committed by the server."""

    session: int
    seq: int

    def encode(self) -> bytes:
        return encode_canonical({"schema": ACK_SCHEMA, "session": self.session, "seq": self.seq})

    @classmethod
    def parse(cls, data: bytes) -> Self:
        fields = Fields(parse_object(data, what="ack", max_bytes=4096), where="ack")
        fields.schema(ACK_SCHEMA)
        return cls(session=fields.integer("session", low=0), seq=fields.integer("seq", low=0))


def _signed(suffix: Suffix) -> Suffix:
    if suffix not in SIGNED:
        raise InvalidField(f"{suffix.value} carries no signed report", where="topic")
    return suffix


def _number(found: dict[str, str], name: str) -> int:
    text = found.get(name, "")
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise InvalidField(
            f"user property {name!r} is not a number", where=f"mqtt.{name}", why=repr(text[:40])
        )
    return int(text)
