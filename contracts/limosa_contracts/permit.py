"""A downgrade permit: a team says that devices may go from one version back to another (trust 2.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.dsse import Envelope
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import MODEL, VERSION
from limosa_contracts.signing_keys import PublicKey, Signs

SCHEMA: Final = "limosa.permit/1"
PAYLOAD_TYPE: Final = "application/vnd.limosa.permit+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class DowngradePermit:
    """Names both versions, so it allows this one step and no other."""

    model: str  # team/model
    from_version: str  # the version that the device runs
    to_version: str
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge. Says nothing about signatures."""
        fields = Fields(
            parse_object(data, what="permit", max_bytes=LIMITS.manifest_max_bytes), where="permit"
        )
        fields.schema(SCHEMA)
        return cls(
            model=fields.text("model", pattern=MODEL),
            from_version=fields.text("from", pattern=VERSION),
            to_version=fields.text("to", pattern=VERSION),
            extra=fields.rest(),
        )

    def encode(self) -> bytes:
        return encode_canonical(
            {
                **self.extra,
                "schema": SCHEMA,
                "model": self.model,
                "from": self.from_version,
                "to": self.to_version,
            }
        )

    def sign(self, key: Signs) -> Envelope:
        """The permit as a team's key signs it; `desired` carries the envelope as an object."""
        return Envelope.sign(self.encode(), payload_type=PAYLOAD_TYPE, key=key)

    @classmethod
    def verify(cls, envelope: Envelope, key: PublicKey) -> Self:
        """Raises SignatureMismatch; InvalidJson, InvalidField if the team signed nonsense."""
        return cls.parse(envelope.verify(key, payload_type=PAYLOAD_TYPE))
