"""What lies in a backup, as its manifest says it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import SHA256_HEX

SCHEMA: Final = "limosa.backup/1"
MANIFEST: Final = "backup.json"
DATABASE: Final = "database"
"""Path of the database's copy."""
MANIFEST_MAX_BYTES: Final = 256 * 1024**2  # a line per blob
SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
PATH_MAX_CHARS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupManifest:
    """`database`: "sqlite" or "postgresql". `files`: path of the server's folder -> sha256, 64 hex digits.
    `blobs`: sha256 -> bytes. `keys`: whether the server's private keys are in it."""

    made_at: float  # Unix seconds
    revision: str  # of the schema
    database: str
    epoch: int
    keys: bool
    files: Mapping[str, str]
    blobs: Mapping[str, int]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge."""
        fields = Fields(
            parse_object(data, what="backup manifest", max_bytes=MANIFEST_MAX_BYTES), where="backup"
        )
        fields.schema(SCHEMA)
        files, blobs = fields.fields("files"), fields.fields("blobs")
        manifest = cls(
            made_at=fields.number("made_at", low=0, high=1e11),
            revision=fields.text("revision", max_chars=64),
            database=fields.choice("database", (SQLITE, POSTGRESQL)),
            epoch=fields.integer("epoch", low=0),
            keys=fields.boolean("keys"),
            files={
                _path(files, name): files.text(name, pattern=SHA256_HEX) for name in fields.object("files")
            },
            blobs={_digest(blobs, name): blobs.integer(name, low=0) for name in fields.object("blobs")},
        )
        if DATABASE not in manifest.files:
            raise fields.wrong("files", f"it has no {DATABASE!r}")
        return manifest

    @property
    def objects(self) -> frozenset[str]:
        """Digests of all that belongs to it."""
        return frozenset({*self.files.values(), *self.blobs})

    def encode(self) -> bytes:
        files: dict[str, JsonValue] = dict(self.files)
        blobs: dict[str, JsonValue] = dict(self.blobs)
        return encode_canonical(
            {
                "schema": SCHEMA,
                "made_at": self.made_at,
                "revision": self.revision,
                "database": self.database,
                "epoch": self.epoch,
                "keys": self.keys,
                "files": files,
                "blobs": blobs,
            }
        )


def _path(fields: Fields, name: str) -> str:
    """A backup may come from a stranger's disk: nothing in it leads out of it."""
    parts = name.split("/")
    if not name or len(name) > PATH_MAX_CHARS or any(part in ("", ".", "..") for part in parts):
        raise fields.wrong(name[:80], "a path within the backup")
    return name


def _digest(fields: Fields, name: str) -> str:
    if not SHA256_HEX.fullmatch(name):
        raise fields.wrong(name[:80], "64 hex digits")
    return name
