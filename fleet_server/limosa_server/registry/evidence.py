"""Evidence that teams push beside a release: found, and its signature checked (compiler 2.9, trust 1).

The server could forge none of it; it checks so that a mistake is seen before somebody relies on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from limosa_contracts.canonical import parse_object
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import LimosaError, SignatureMismatch, TooLarge
from limosa_contracts.evidence_statement import (
    ENVELOPE_FILE,
    EVIDENCE_FILE,
    EVIDENCE_TYPE,
    PAYLOAD_TYPE,
    EvidenceStatement,
    referrers_tag,
)
from limosa_contracts.json_value import JsonObject
from limosa_contracts.limits import LIMITS
from limosa_contracts.oci import Descriptor, ImageIndex, Manifest
from limosa_contracts.signing_keys import PublicKey
from limosa_server.errors import BlobUnknown
from limosa_server.registry import registry_rows
from limosa_server.registry.blobs import Blobs
from limosa_server.registry.release_rows import name_of
from limosa_server.store import Transaction
from limosa_server.tables.releases import Release
from limosa_server.trust.team_keys import team_keys

DOCUMENT_MAX_BYTES: Final = 16 * 1024 * 1024  # evidence lists every candidate of a large search


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One referrer. `refused` says why its signature does not count; "" where it holds under `keyid`."""

    digest: str
    manifest: Manifest
    keyid: str
    refused: str

    @property
    def files(self) -> tuple[Descriptor, ...]:
        return self.manifest.layers


def of_release(tx: Transaction, blobs: Blobs, row: Release) -> list[Evidence]:
    """Nothing where none was published; what does not parse is left out, for anybody of the team may push."""
    subject = f"sha256:{row.index_sha256}"
    try:
        tagged = registry_rows.by_reference(tx, row.model, referrers_tag(subject))
        listed = ImageIndex.parse(blobs.read(tagged.sha256)).manifests
    except (BlobUnknown, FileNotFoundError, LimosaError):
        return []
    keys = team_keys(tx, row.model.partition("/")[0])
    found: list[Evidence] = []
    for entry in listed:
        try:
            stored = registry_rows.find(tx, row.model, entry.sha256)
            if stored.size > LIMITS.manifest_max_bytes:
                continue
            manifest = Manifest.parse(blobs.read(entry.sha256))
        except (FileNotFoundError, LimosaError):
            continue
        about = manifest.subject
        if manifest.artifact_type == EVIDENCE_TYPE and about is not None and about.digest == subject:
            found.append(_checked(blobs, row, entry.digest, manifest, keys))
    return found


def first_signed(found: Sequence[Evidence]) -> Evidence | None:
    return next((one for one in found if not one.refused), None)


def why_not(found: Sequence[Evidence]) -> str:
    """Why there is no signed evidence, in words; "" where there is."""
    if first_signed(found) is not None:
        return ""
    return f"its evidence is not signed: {found[0].refused}" if found else "no evidence was published with it"


def document(blobs: Blobs, one: Evidence) -> JsonObject | None:
    """`evidence.json`, or None where it is not there or not readable."""
    try:
        layer = one.manifest.layer(EVIDENCE_FILE)
        if layer.size > DOCUMENT_MAX_BYTES:
            return None
        return parse_object(blobs.read(layer.sha256), what="evidence", max_bytes=DOCUMENT_MAX_BYTES)
    except (FileNotFoundError, LimosaError):
        return None


def _checked(
    blobs: Blobs, row: Release, digest: str, manifest: Manifest, keys: Sequence[PublicKey]
) -> Evidence:
    try:
        keyid = _verify(blobs, row, manifest, keys)
    except (FileNotFoundError, LimosaError) as error:
        return Evidence(digest=digest, manifest=manifest, keyid="", refused=str(error)[:300])
    return Evidence(digest=digest, manifest=manifest, keyid=keyid, refused="")


def _verify(blobs: Blobs, row: Release, manifest: Manifest, keys: Sequence[PublicKey]) -> str:
    """The keyid under which it holds. Raises LimosaError."""
    if not manifest.has(ENVELOPE_FILE):
        raise SignatureMismatch("the evidence carries no signature", where=name_of(row))
    layer = manifest.layer(ENVELOPE_FILE)
    if layer.size > LIMITS.document_max_bytes:
        raise TooLarge("the evidence's signature is too large", where=ENVELOPE_FILE)
    envelope = Envelope.parse(blobs.read(layer.sha256), max_bytes=LIMITS.document_max_bytes)
    key, payload = _signer(envelope, keys)
    statement = EvidenceStatement.parse(payload)
    if str(statement.release) != name_of(row) or statement.subject != f"sha256:{row.index_sha256}":
        raise SignatureMismatch("the evidence is about another release", where=str(statement.release))
    files = {one.filename: one.digest for one in manifest.layers if one.filename != ENVELOPE_FILE}
    if files != dict(statement.files):
        raise SignatureMismatch("the evidence lists other files than were signed", where=name_of(row))
    return key.keyid


def _signer(envelope: Envelope, keys: Sequence[PublicKey]) -> tuple[PublicKey, bytes]:
    """Raises SignatureMismatch."""
    refused: SignatureMismatch | None = None
    for key in keys:  # a team has two while it rotates
        try:
            return key, envelope.verify(key, payload_type=PAYLOAD_TYPE)
        except SignatureMismatch as error:
            refused = error
    raise refused or SignatureMismatch("the server knows no key of this team")
