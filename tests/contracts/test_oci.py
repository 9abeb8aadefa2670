"""Descriptors, manifests and the image index, as they are written and as they may come in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.errors import DigestMismatch, InvalidArtifact, InvalidField, LimosaError, TooLarge
from limosa_contracts.limits import LIMITS
from limosa_contracts.oci import (
    FILEPATH,
    REQUIRES_ANNOTATION,
    WEIGHT,
    Descriptor,
    ImageIndex,
    Manifest,
    Requirements,
)

FOLDER = Path(__file__).parent / "golden"
MANIFEST = FOLDER / "manifest-1.json"
INDEX = FOLDER / "image-index-1.json"


def test_version_1_documents_read_and_write_the_same_bytes() -> None:
    manifest, index = Manifest.parse(MANIFEST.read_bytes()), ImageIndex.parse(INDEX.read_bytes())
    assert manifest.encode() == MANIFEST.read_bytes()
    assert index.encode() == INDEX.read_bytes()
    assert manifest.extra == {"newer": [1]}
    assert index.manifests[0].extra == {"urls": ["https://mirror.example"]}
    index.manifests[0].check(MANIFEST.read_bytes())


def test_requirements_travel_in_an_annotation_and_keep_what_is_new() -> None:
    text = ImageIndex.parse(INDEX.read_bytes()).manifests[0].annotations[REQUIRES_ANNOTATION]
    requirements = Requirements.parse(text)
    assert requirements.cpu_features == ("avx2", "vnni")
    assert requirements.extra == {"newer": "kept"}
    assert requirements.encode() == text


def test_two_variants_of_one_name_are_refused() -> None:
    """A device would hold one and report the other."""
    index = json.loads(INDEX.read_bytes())
    index["manifests"].append(index["manifests"][0])
    with pytest.raises(InvalidField) as caught:
        ImageIndex.parse(encode_canonical(index))
    assert "two variants have one name" in str(caught.value)


def test_layer_is_found_by_its_file_name() -> None:
    manifest = Manifest.parse(MANIFEST.read_bytes())
    assert manifest.layer("model.onnx").media_type == WEIGHT
    assert not manifest.has("model.sig")
    with pytest.raises(InvalidArtifact):
        manifest.layer("model.sig")


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".", "a\\b", "a\0b", "x" * 129])
def test_file_name_that_leads_out_of_its_folder_is_refused(name: str) -> None:
    document = json.loads(MANIFEST.read_bytes())
    document["layers"][0]["annotations"][FILEPATH] = name
    with pytest.raises(InvalidArtifact):
        Manifest.parse(encode_canonical(document))


def test_layers_of_one_name_or_of_none_are_refused() -> None:
    document = json.loads(MANIFEST.read_bytes())
    document["layers"][1]["annotations"][FILEPATH] = "model.onnx"
    with pytest.raises(InvalidArtifact, match="two layers"):
        Manifest.parse(encode_canonical(document))
    del document["layers"][1]["annotations"]
    with pytest.raises(InvalidField):
        Manifest.parse(encode_canonical(document))


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 1},
        {"mediaType": "application/vnd.docker.distribution.manifest.v2+json"},
        {"config": {"mediaType": "a", "digest": "sha256:abc", "size": 1}},
        {"config": {"mediaType": "a", "digest": "md5:" + "0" * 64, "size": 1}},
        {"config": {"mediaType": "a", "digest": "sha256:" + "0" * 64, "size": -1}},
        {"layers": [{}] * 65},
        {"annotations": {"a": 1}},
    ],
)
def test_manifest_of_another_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(LimosaError):
        Manifest.parse(encode_canonical({**json.loads(MANIFEST.read_bytes()), **change}))


def test_manifest_larger_than_the_smallest_device_takes_is_refused() -> None:
    document = json.loads(MANIFEST.read_bytes()) | {"padding": "x" * LIMITS.manifest_max_bytes}
    with pytest.raises(TooLarge):
        Manifest.parse(encode_canonical(document))


def test_bytes_are_what_a_descriptor_says_or_refused() -> None:
    descriptor = Descriptor.of(b"weights", media_type=WEIGHT)
    assert descriptor.check(b"weights") == b"weights"
    for wrong in (b"", b"weight", b"weightsx", b"Weights"):
        with pytest.raises(DigestMismatch):
            descriptor.check(wrong)
