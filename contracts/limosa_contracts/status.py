"""Presence: a retained message of the device, and its last will (server 3.1). Informational only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.fields import Fields

SCHEMA: Final = "limosa.status/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    online: bool
    session: int  # grows with each connection; an older one never overrides a newer

    def encode(self) -> bytes:
        return encode_canonical({"schema": SCHEMA, "online": self.online, "session": self.session})

    @classmethod
    def parse(cls, data: bytes) -> Self:
        fields = Fields(parse_object(data, what="status", max_bytes=4096), where="status")
        fields.schema(SCHEMA)
        return cls(online=fields.boolean("online"), session=fields.integer("session", low=0))
