"""Evidence as an OCI referrer: it names its release by digest, and the team's key stands for both."""

from __future__ import annotations

import pytest

from limosa_compiler.trust.evidence_referrer import make_referrer
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import SignatureMismatch
from limosa_contracts.evidence_statement import (
    ENVELOPE_FILE,
    EVIDENCE_TYPE,
    PAYLOAD_TYPE,
    EvidenceStatement,
)
from limosa_contracts.names import ReleaseName
from limosa_contracts.oci import INDEX, Descriptor, ImageIndex, Manifest
from limosa_contracts.signing_keys import Algorithm, SigningKey

RELEASE = ReleaseName.parse("demo/toy@1.0.0")
SUBJECT = Descriptor.of(b"index", media_type=INDEX)
FILES = {"report.html": b"<p>", "evidence.json": b"{}\n"}


def test_referrer_names_its_subject_and_the_signature_covers_every_file() -> None:
    key = SigningKey.generate(Algorithm.P256)
    made = make_referrer(RELEASE, SUBJECT, FILES, key)
    (listed,) = ImageIndex.parse(made.index).manifests
    listed.check(made.manifest)
    manifest = Manifest.parse(made.manifest)
    assert manifest.subject == SUBJECT
    assert manifest.artifact_type == EVIDENCE_TYPE
    for layer in (manifest.config, *manifest.layers):
        layer.check(made.blobs[layer.digest])
    envelope = Envelope.parse(made.blobs[manifest.layer(ENVELOPE_FILE).digest], max_bytes=65536)
    statement = EvidenceStatement.parse(envelope.verify(key.public, payload_type=PAYLOAD_TYPE))
    assert statement.release == RELEASE
    assert statement.subject == SUBJECT.digest
    assert statement.files == {name: manifest.layer(name).digest for name in FILES}
    with pytest.raises(SignatureMismatch):
        envelope.verify(SigningKey.generate(Algorithm.P256).public, payload_type=PAYLOAD_TYPE)


def test_same_evidence_and_key_give_the_same_bytes() -> None:
    key = SigningKey.generate(Algorithm.P256)
    assert make_referrer(RELEASE, SUBJECT, FILES, key) == make_referrer(RELEASE, SUBJECT, FILES, key)
