"""Artifact files: one tar that is an OCI image layout, read as hostile."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from limosa_compiler.artifact.tar_format import END, header, padding, read_members
from limosa_compiler.artifact.whole_files import written_at_once
from limosa_contracts.archive import INDEX_FILE, LAYOUT_FILE, SUFFIX, check_member, members
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import DigestMismatch, InvalidArtifact, InvalidField, LimosaError, TooLarge
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import ModelName, ReleaseName, check_version
from limosa_contracts.oci import (
    ARTIFACT_TYPE,
    CONFIG,
    INDEX,
    LAYER_TYPES,
    MANIFEST,
    REQUIRES_ANNOTATION,
    SIGNATURE_FILE,
    VARIANT_ANNOTATION,
    Descriptor,
    ImageIndex,
    Manifest,
    Requirements,
    digest_of,
)

MODEL_ANNOTATION: Final = "dev.limosa.model"
VERSION_ANNOTATION: Final = "dev.limosa.version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One variant of an archive: its descriptor in the image index, and its manifest."""

    name: str
    descriptor: Descriptor
    manifest: Manifest
    requirements: Requirements


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Everything of one artifact, in memory; every digest and size was checked."""

    blobs: Mapping[str, bytes] = field(repr=False)  # by digest
    index_descriptor: Descriptor  # of the image index blob
    index: ImageIndex
    release: ReleaseName
    variants: tuple[Variant, ...]  # in the order of the index

    def variant(self, name: str) -> Variant:
        """Raises InvalidField, naming the variants there are."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        known = ", ".join(variant.name for variant in self.variants)
        raise InvalidField(f"there is no variant {name!r}", where="variant", hint=f"variants: {known}")

    def files(self, variant: Variant) -> dict[str, bytes]:
        """The variant's flat folder: file name -> bytes."""
        return {layer.filename: self.blobs[layer.digest] for layer in variant.manifest.layers}

    @property
    def content_digest(self) -> str:
        """64 hex digits over every variant's name, requirements and files but the signature.

        The same before and after publishing, which adds a signature to each variant.
        """
        content: list[JsonValue] = [
            [
                variant.name,
                variant.requirements.encode(),
                [[x.filename, x.digest] for x in variant.manifest.layers if x.filename != SIGNATURE_FILE],
            ]
            for variant in self.variants
        ]
        return hashlib.sha256(encode_canonical([str(self.release), content])).hexdigest()


def archive_name(release: ReleaseName) -> str:
    """
    >>> archive_name(ReleaseName.parse("demo/motion@1.0.0"))
    'motion-1.0.0.limosa'
    """
    return f"{release.name.model}-{release.version}{SUFFIX}"


def read_archive(path: Path) -> Archive:
    """Raises InvalidArtifact, DigestMismatch, TooLarge; OSError if the file cannot be read."""
    if path.exists() and not path.is_file():  # before it is opened: a pipe would wait for a writer
        raise InvalidArtifact("an artifact is a regular file", where=str(path))
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > LIMITS.artifact_max_bytes:
            raise TooLarge("the artifact is too large", where=str(path), why=f"{size} bytes")
        try:
            return _read(stream)
        except (InvalidArtifact, DigestMismatch) as error:
            raise type(error)(error.what, where=_where(path, error), why=error.why) from error
        except LimosaError as error:  # a document inside does not parse: the artifact is to blame
            raise InvalidArtifact(
                "a document in the artifact is not valid", where=str(path), why=str(error)
            ) from error


def write_archive(
    path: Path, blobs: Mapping[str, bytes], index: Descriptor, *, name: str, version: str, mtime: int = 0
) -> None:
    """Writes the archive whole, durable, and in one step; an interrupt leaves what was there before."""
    with written_at_once(path) as stream:
        stream.writelines(archive_parts(blobs, index, name=name, version=version, mtime=mtime))


def archive_parts(
    blobs: Mapping[str, bytes], index: Descriptor, *, name: str, version: str, mtime: int = 0
) -> Iterator[bytes]:
    """The bytes of an archive's file, in order. `mtime` in Unix seconds. Raises InvalidArtifact."""
    for member, data in members(blobs, index, name=name, version=version):
        yield header(member, size=len(data), mtime=mtime)
        yield data
        yield padding(len(data))
    yield END


def _where(path: Path, error: LimosaError) -> str:
    return f"{path}: {error.where}" if error.where else str(path)


def _read(stream: BinaryIO) -> Archive:
    blobs, documents = _members(stream)
    if LAYOUT_FILE not in documents or INDEX_FILE not in documents:
        raise InvalidArtifact(
            "the archive is no image layout", why=f"{LAYOUT_FILE} or {INDEX_FILE} is missing"
        )
    _check_layout(documents[LAYOUT_FILE])
    return archive_of(blobs, _single_index(documents[INDEX_FILE]))


def archive_of(blobs: Mapping[str, bytes], descriptor: Descriptor) -> Archive:
    """The artifact that an image index blob describes. Raises InvalidArtifact, DigestMismatch."""
    index = ImageIndex.parse(_blob(blobs, descriptor))
    return Archive(
        blobs=blobs,
        index_descriptor=descriptor,
        index=index,
        release=release_of(index),
        variants=tuple(_variant(blobs, item) for item in index.manifests),
    )


def _members(stream: BinaryIO) -> tuple[dict[str, bytes], dict[str, bytes]]:
    blobs: dict[str, bytes] = {}
    documents: dict[str, bytes] = {}
    for count, (member, data) in enumerate(read_members(stream), 1):
        if count > LIMITS.archive_max_members:
            raise InvalidArtifact("the archive has too many members", why=f"more than {count - 1}")
        digest = check_member(member.name, is_file=member.is_file, is_folder=member.is_folder)
        if digest is None:
            continue
        plain = member.name.removeprefix("./")
        if (digest or plain) in (blobs if digest else documents):
            raise InvalidArtifact("a member occurs twice", where=plain)
        if digest and digest_of(data) != digest:
            raise DigestMismatch("bytes are not those of their digest", where=plain)
        (blobs if digest else documents)[digest or plain] = data
    return blobs, documents


def _check_layout(data: bytes) -> None:
    layout = Fields(parse_object(data, what=LAYOUT_FILE, max_bytes=4096), where=LAYOUT_FILE)
    if layout.text("imageLayoutVersion") != "1.0.0":
        raise InvalidArtifact("the image layout is of another version", where=LAYOUT_FILE)


def _single_index(data: bytes) -> Descriptor:
    layout_index = ImageIndex.parse(data)
    if len(layout_index.manifests) != 1 or layout_index.manifests[0].media_type != INDEX:
        raise InvalidArtifact("index.json must name one image index and nothing else", where=INDEX_FILE)
    return layout_index.manifests[0]


def release_of(index: ImageIndex) -> ReleaseName:
    """What the image index says it is. Raises InvalidArtifact."""
    model, version = (index.annotations.get(key, "") for key in (MODEL_ANNOTATION, VERSION_ANNOTATION))
    try:
        return ReleaseName(ModelName.parse(model), check_version(version))
    except InvalidField as error:
        raise InvalidArtifact(
            "the image index does not name its release", where="index", why=str(error)
        ) from error


def _variant(blobs: Mapping[str, bytes], descriptor: Descriptor) -> Variant:
    if descriptor.media_type != MANIFEST:
        raise InvalidArtifact(
            "an image index may name manifests only", where="index", why=descriptor.media_type
        )
    manifest = Manifest.parse(_blob(blobs, descriptor))
    if manifest.artifact_type != ARTIFACT_TYPE or manifest.config.media_type != CONFIG:
        raise InvalidArtifact(
            "a variant is not a packaged model", where="manifest", why=manifest.artifact_type
        )
    _blob(blobs, manifest.config)
    for layer in manifest.layers:
        if layer.media_type not in LAYER_TYPES:
            raise InvalidArtifact("a layer is of an unknown type", where=layer.filename, why=layer.media_type)
        _blob(blobs, layer)
    return Variant(
        name=descriptor.annotations.get(VARIANT_ANNOTATION, ""),
        descriptor=descriptor,
        manifest=manifest,
        requirements=requirements_of(descriptor),
    )


def requirements_of(descriptor: Descriptor) -> Requirements:
    """From the annotation of a manifest's descriptor. Raises InvalidArtifact if it has none."""
    text = descriptor.annotations.get(REQUIRES_ANNOTATION, "")
    if not text:
        raise InvalidArtifact("a variant does not say what it requires", where="index")
    return Requirements.parse(text)


def _blob(blobs: Mapping[str, bytes], descriptor: Descriptor) -> bytes:
    if descriptor.digest not in blobs:
        raise InvalidArtifact("a blob is missing", where=descriptor.filename or descriptor.digest)
    return descriptor.check(blobs[descriptor.digest])
