"""What an instance of `limosa_agent.Model` tells the supervisor, one datagram each time (agent 1). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import MODEL, SHA256_HEX

SOCKET: Final = "observations.sock"  # in the state folder
MESSAGE_MAX_BYTES: Final = 128 * 1024
"""256 features (limosa_contracts.limits) of 32 bins with twelve digits each; a datagram may have 208 KiB."""
INSTANCE: Final = re.compile(r"[0-9]{1,10}-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceMessage:
    """One snapshot of one load of a release in one process; cumulative since that load.

    `sequence` grows with each message that was delivered; 0 says that nothing of it was told before.
    """

    model: str
    manifest_sha256: str
    instance: str  # pid-random
    sequence: int
    snapshot: Mapping[str, JsonValue]  # as Observations.snapshot gives it

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge."""
        fields = Fields(
            parse_object(data, what="observation", max_bytes=MESSAGE_MAX_BYTES), where="observation"
        )
        message = cls(
            model=fields.text("model", pattern=MODEL),
            manifest_sha256=fields.text("manifest_sha256", pattern=SHA256_HEX),
            instance=fields.text("instance", pattern=INSTANCE),
            sequence=fields.integer("sequence", low=0),
            snapshot=fields.object("snapshot"),
        )
        fields.refuse_rest()
        return message

    def encode(self) -> bytes:
        """Raises ValueError for a snapshot with a sum that is no finite number."""
        return encode_canonical(
            {
                "model": self.model,
                "manifest_sha256": self.manifest_sha256,
                "instance": self.instance,
                "sequence": self.sequence,
                "snapshot": dict(self.snapshot),
            }
        )
