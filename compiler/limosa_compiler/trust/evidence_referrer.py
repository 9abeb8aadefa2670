"""Evidence follows a release to the server, signed, outside of the release's digest (compiler 2.9, trust 5).

An OCI manifest whose `subject` is the release's image index, and an index of such manifests under the tag
`sha256-<hex of the subject>`: what OCI distribution 1.1 calls the referrers tag schema. Pure but for `push`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from limosa_compiler.trust.push import push_blob, put_manifest
from limosa_compiler.trust.server_client import FleetServer
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import LimosaError
from limosa_contracts.evidence_statement import (
    ENVELOPE_FILE,
    EVIDENCE_TYPE,
    PAYLOAD_TYPE,
    EvidenceStatement,
    referrers_tag,
)
from limosa_contracts.names import ModelName, ReleaseName
from limosa_contracts.oci import DOC, FILEPATH, INDEX, MANIFEST, Descriptor, ImageIndex, Manifest
from limosa_contracts.signing_keys import Signs

EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
EMPTY: Final = b"{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Referrer:
    """What is pushed: blobs by digest, the manifest over them, and the index that lists it."""

    blobs: Mapping[str, bytes]
    manifest: bytes
    index: bytes


def make_referrer(
    release: ReleaseName, subject: Descriptor, files: Mapping[str, bytes], key: Signs
) -> Referrer:
    """`files`: name -> bytes. The team's key signs their digests together with the subject's."""
    described = {name: _layer(name, data) for name, data in sorted(files.items())}
    statement = EvidenceStatement(
        release=release,
        subject=subject.digest,
        files={name: layer.digest for name, layer in described.items()},
    )
    envelope = Envelope.sign(statement.encode(), payload_type=PAYLOAD_TYPE, key=key).encode()
    layers = (*described.values(), _layer(ENVELOPE_FILE, envelope))
    config = Descriptor.of(EMPTY, media_type=EMPTY_TYPE)
    manifest = Manifest(
        config=config,
        layers=layers,
        subject=Descriptor(media_type=INDEX, digest=subject.digest, size=subject.size),
        artifact_type=EVIDENCE_TYPE,
    ).encode()
    listed = Descriptor.of(manifest, media_type=MANIFEST)
    index = ImageIndex(
        manifests=(Descriptor.parse({**listed.as_json(), "artifactType": EVIDENCE_TYPE}, where=""),)
    )
    bodies = (EMPTY, envelope, *files.values())
    return Referrer(
        blobs={Descriptor.of(data, media_type=DOC).digest: data for data in bodies},
        manifest=manifest,
        index=index.encode(),
    )


def push_evidence(
    server: FleetServer,
    release: ReleaseName,
    subject: Descriptor,
    files: Mapping[str, bytes],
    key: Signs,
    *,
    say: Callable[[str], None],
) -> bool:
    """Whether it had to be sent: the same files under the same release are sent once."""
    if _listed(server, release.name, subject) == {
        name: _layer(name, data).digest for name, data in files.items()
    }:
        return False
    made = make_referrer(release, subject, files, key)
    for digest, data in sorted(made.blobs.items()):
        push_blob(server, release.name, digest, data, say=say)
    listed = Descriptor.of(made.manifest, media_type=MANIFEST)
    put_manifest(server, release.name, listed.digest, made.manifest, MANIFEST)
    put_manifest(server, release.name, referrers_tag(subject.digest), made.index, INDEX)
    return True


def _listed(server: FleetServer, model: ModelName, subject: Descriptor) -> dict[str, str]:
    """Files of the evidence that the server lists, without the signature; nothing if there is none."""
    path = f"/v2/{model}/manifests"
    answer = server.request("GET", f"{path}/{referrers_tag(subject.digest)}", expected=(200, 404))
    if answer.status_code == 404:
        return {}
    try:
        (entry,) = ImageIndex.parse(answer.content).manifests
        layers = Manifest.parse(server.request("GET", f"{path}/{entry.digest}").content).layers
    except (LimosaError, ValueError):
        return {}  # not ours, or not whole: it is written again
    return {layer.filename: layer.digest for layer in layers if layer.filename != ENVELOPE_FILE}


def _layer(name: str, data: bytes) -> Descriptor:
    return Descriptor.of(data, media_type=DOC, annotations={FILEPATH: name})
