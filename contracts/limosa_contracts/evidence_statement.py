"""What a team signs of a release's evidence: these files are about this image index (compiler 2.9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject
from limosa_contracts.names import DIGEST, ReleaseName

SCHEMA: Final = "limosa.evidence-statement/1"
PAYLOAD_TYPE: Final = "application/vnd.limosa.evidence-statement+json"
EVIDENCE_TYPE: Final = "application/vnd.limosa.evidence.v1"
"""artifactType of the manifest that refers to the image index."""
EVIDENCE_FILE: Final = "evidence.json"
REPORT_FILE: Final = "report.html"
ENVELOPE_FILE: Final = "evidence.dsse.json"
FILES_MAX: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceStatement:
    """`files`: name -> sha256:…; `subject`: the image index, as sha256:…."""

    release: ReleaseName
    subject: str
    files: Mapping[str, str]
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge."""
        fields = Fields(parse_object(data, what="evidence statement"), where="statement")
        fields.schema(SCHEMA)
        files = fields.text_map("files", max_items=FILES_MAX)
        for name, digest in files.items():
            if not DIGEST.fullmatch(digest):
                raise InvalidField(
                    "a digest is needed", where=f"statement.files.{name[:80]}", why=digest[:80]
                )
        return cls(
            release=ReleaseName.parse(fields.text("release")),
            subject=fields.text("subject", pattern=DIGEST),
            files=files,
            extra=fields.rest(),
        )

    def encode(self) -> bytes:
        return encode_canonical(
            {
                **self.extra,
                "schema": SCHEMA,
                "release": str(self.release),
                "subject": self.subject,
                "files": dict(self.files),
            }
        )


def referrers_tag(digest: str) -> str:
    """The tag under which OCI distribution 1.1 lists what refers to a digest.

    >>> referrers_tag("sha256:abc")
    'sha256-abc'
    """
    return digest.replace(":", "-", 1)
