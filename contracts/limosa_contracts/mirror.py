"""The folder that `limosa mirror export` writes and a device reads (trust 3.5). Pure.

    limosa-mirror.json              what is in it, for people; a device believes none of it
    tuf/metadata/…, tuf/targets/…   as the server serves them, the timestamp with a longer life
    blobs/sha256/<64 hex>           manifests and layers
    desired/<device>.json           what the director wants, signed

Names that any file system of a stick can hold: no colon.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject
from limosa_contracts.limits import LIMITS

SCHEMA: Final = "limosa.mirror/1"
MARKER_FILE: Final = "limosa-mirror.json"
METADATA_FOLDER: Final = "tuf/metadata"
TARGETS_FOLDER: Final = "tuf/targets"
ITEMS_MAX: Final = 100_000


def blob_file(sha256: str) -> str:
    return f"blobs/sha256/{sha256}"


def desired_file(device: str) -> str:
    return f"desired/{device}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorMarker:
    """Times are Unix seconds, UTC. `id` differs between any two exports."""

    id: str
    made: int
    expires: int  # of the first signature in it that ends
    releases: tuple[str, ...]  # team/model@version
    devices: int  # that it has a desired document for
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge."""
        fields = Fields(
            parse_object(data, what=MARKER_FILE, max_bytes=LIMITS.document_max_bytes), where="mirror"
        )
        fields.schema(SCHEMA)
        return cls(
            id=fields.text("id", max_chars=64),
            made=fields.integer("made", low=0),
            expires=fields.integer("expires", low=0),
            releases=fields.texts("releases", max_items=ITEMS_MAX),
            devices=fields.integer("devices", low=0),
            extra=fields.rest(),
        )

    def encode(self) -> bytes:
        return encode_canonical(
            {
                **self.extra,
                "schema": SCHEMA,
                "id": self.id,
                "made": self.made,
                "expires": self.expires,
                "releases": list(self.releases),
                "devices": self.devices,
            }
        )
