"""OCI image layout with ModelPack media types: descriptors, manifests, the image index (compiler 6.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import DigestMismatch, InvalidArtifact, InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import DIGEST

INDEX: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE: Final = "application/vnd.cncf.model.manifest.v1+json"
CONFIG: Final = "application/vnd.cncf.model.config.v1+json"
WEIGHT: Final = "application/vnd.cncf.model.weight.v1.raw"
WEIGHT_CONFIG: Final = "application/vnd.cncf.model.weight.config.v1.raw"
DATASET: Final = "application/vnd.cncf.model.dataset.v1.raw"
DOC: Final = "application/vnd.cncf.model.doc.v1.raw"
LAYER_TYPES: Final = (WEIGHT, WEIGHT_CONFIG, DATASET, DOC)
FILEPATH: Final = "org.cncf.model.filepath"
"""Annotation of a layer: the name of the file, without any folder."""
SIGNATURE_FILE: Final = "model.sig"
VARIANT_ANNOTATION: Final = "dev.limosa.variant"
REQUIRES_ANNOTATION: Final = "dev.limosa.requires"
"""Annotation of a manifest's descriptor: canonical JSON of `Requirements`."""
LAYOUT: Final = b'{"imageLayoutVersion":"1.0.0"}'


def digest_of(data: bytes) -> str:
    """The digest as OCI writes it.

    >>> digest_of(b"")
    'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    """
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    media_type: str
    digest: str
    size: int  # bytes
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    platform: Mapping[str, str] = field(default_factory=dict)
    extra: JsonObject = field(default_factory=dict)

    @property
    def filename(self) -> str:
        return self.annotations.get(FILEPATH, "")

    @property
    def sha256(self) -> str:
        return self.digest.removeprefix("sha256:")

    @classmethod
    def of(cls, data: bytes, *, media_type: str, annotations: Mapping[str, str] | None = None) -> Self:
        return cls(
            media_type=media_type, digest=digest_of(data), size=len(data), annotations=dict(annotations or {})
        )

    def check(self, data: bytes) -> bytes:
        """`data`, if it is what this describes. Raises DigestMismatch."""
        if len(data) != self.size or digest_of(data) != self.digest:
            raise DigestMismatch(
                "bytes are not those that were listed",
                where=self.filename or self.digest,
                why=f"{len(data)} bytes, {digest_of(data)[:19]}…; listed: {self.size}, {self.digest[:19]}…",
            )
        return data

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        nothing: dict[str, str] = {}
        return cls(
            media_type=fields.text("mediaType", max_chars=255),
            digest=fields.text("digest", pattern=DIGEST),
            size=fields.integer("size", low=0, high=LIMITS.blob_max_bytes),
            annotations=fields.optional("annotations", lambda n: fields.text_map(n, max_chars=4096), nothing),
            artifact_type=fields.optional("artifactType", lambda n: fields.text(n, max_chars=255), ""),
            platform=_platform(fields),
            extra=fields.rest(),
        )

    def as_json(self) -> dict[str, JsonValue]:
        result: dict[str, JsonValue] = {
            **self.extra,
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        if self.artifact_type:
            result["artifactType"] = self.artifact_type
        if self.platform:
            result["platform"] = dict(self.platform)
        if self.annotations:
            result["annotations"] = dict(self.annotations)
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One variant: a config and layers, each layer one file of a flat folder."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    subject: Descriptor | None = None
    artifact_type: str = ARTIFACT_TYPE
    extra: JsonObject = field(default_factory=dict)

    def layer(self, filename: str) -> Descriptor:
        """Raises InvalidArtifact if the variant has no such file."""
        for layer in self.layers:
            if layer.filename == filename:
                return layer
        raise InvalidArtifact(f"a variant has no file {filename!r}", where="manifest.layers")

    def has(self, filename: str) -> bool:
        return any(layer.filename == filename for layer in self.layers)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge, InvalidArtifact."""
        value = parse_object(data, what="manifest", max_bytes=LIMITS.manifest_max_bytes)
        fields = Fields(value, where="manifest")
        _version_2(fields, MANIFEST)
        nothing: dict[str, str] = {}
        manifest = cls(
            config=Descriptor.parse(fields.raw("config"), where="manifest.config"),
            layers=tuple(
                Descriptor.parse(item, where=place) for place, item in fields.items("layers", max_items=64)
            ),
            annotations=fields.optional("annotations", lambda n: fields.text_map(n, max_chars=4096), nothing),
            subject=fields.maybe(
                "subject", lambda n: Descriptor.parse(fields.raw(n), where="manifest.subject")
            ),
            artifact_type=fields.text("artifactType", max_chars=255),
            extra=fields.rest(),
        )
        _check_filenames(manifest.layers)
        return manifest

    def encode(self) -> bytes:
        result: dict[str, JsonValue] = {
            **self.extra,
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": self.artifact_type,
            "config": self.config.as_json(),
            "layers": [layer.as_json() for layer in self.layers],
        }
        if self.annotations:
            result["annotations"] = dict(self.annotations)
        if self.subject is not None:
            result["subject"] = self.subject.as_json()
        return encode_canonical(result)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageIndex:
    """One release: one manifest per variant, best first (agent 2.1)."""

    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge."""
        fields = Fields(
            parse_object(data, what="image index", max_bytes=LIMITS.manifest_max_bytes), where="index"
        )
        _version_2(fields, INDEX)
        nothing: dict[str, str] = {}
        manifests = tuple(
            Descriptor.parse(item, where=place)
            for place, item in fields.items("manifests", max_items=LIMITS.variants_max)
        )
        names = [
            item.annotations[VARIANT_ANNOTATION]
            for item in manifests
            if VARIANT_ANNOTATION in item.annotations
        ]
        if len(set(names)) != len(names):
            raise fields.wrong("manifests", "two variants have one name")
        return cls(
            manifests=manifests,
            annotations=fields.optional("annotations", lambda n: fields.text_map(n, max_chars=4096), nothing),
            extra=fields.rest(),
        )

    def encode(self) -> bytes:
        result: dict[str, JsonValue] = {
            **self.extra,
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [manifest.as_json() for manifest in self.manifests],
        }
        if self.annotations:
            result["annotations"] = dict(self.annotations)
        return encode_canonical(result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What a device must have to run a variant (agent 2.1). Empty or 0 asks for nothing."""

    architectures: tuple[str, ...] = ()  # as `platform.machine()`: x86_64, aarch64, armv7l
    cpu_features: tuple[str, ...] = ()
    runtime: str = "onnxruntime"
    runtime_min: str = ""
    memory_bytes: int = 0
    disk_bytes: int = 0
    accelerators: tuple[str, ...] = ()
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        fields = Fields(parse_object(text.encode(), what="requirements", max_bytes=4096), where="requires")
        return cls(
            architectures=fields.optional("architectures", fields.texts, ()),
            cpu_features=fields.optional("cpu_features", fields.texts, ()),
            runtime=fields.text("runtime", max_chars=64),
            runtime_min=fields.optional(
                "runtime_min", lambda n: fields.text(n, max_chars=32, empty=True), ""
            ),
            memory_bytes=fields.optional("memory_bytes", lambda n: fields.integer(n, low=0), 0),
            disk_bytes=fields.optional("disk_bytes", lambda n: fields.integer(n, low=0), 0),
            accelerators=fields.optional("accelerators", fields.texts, ()),
            extra=fields.rest(),
        )

    def encode(self) -> str:
        return encode_canonical(
            {
                **self.extra,
                "architectures": list(self.architectures),
                "cpu_features": list(self.cpu_features),
                "runtime": self.runtime,
                "runtime_min": self.runtime_min,
                "memory_bytes": self.memory_bytes,
                "disk_bytes": self.disk_bytes,
                "accelerators": list(self.accelerators),
            }
        ).decode()


def _platform(fields: Fields) -> Mapping[str, str]:
    nothing: dict[str, str] = {}
    return fields.optional("platform", lambda n: _texts_only(fields.object(n)), nothing)


def _texts_only(value: JsonObject) -> dict[str, str]:
    """A platform may hold lists (os.features), which nothing here reads."""
    return {key: item for key, item in value.items() if isinstance(item, str)}


def _version_2(fields: Fields, media_type: str) -> None:
    fields.integer("schemaVersion", low=2, high=2)
    got = fields.optional("mediaType", lambda n: fields.text(n, max_chars=255), media_type)
    if got != media_type:
        raise InvalidArtifact("a document is of another type", where=fields.at("mediaType"), why=got[:120])


def _check_filenames(layers: tuple[Descriptor, ...]) -> None:
    """Each layer is one file of a flat folder; no name may lead out of it (trust 7.1)."""
    seen: set[str] = set()
    for i, layer in enumerate(layers):
        name = layer.filename
        where = f"manifest.layers[{i}]"
        if not name:
            raise InvalidField(f"a layer has no {FILEPATH}", where=where)
        if name in (".", "..") or "/" in name or "\\" in name or "\0" in name or len(name) > 128:
            raise InvalidArtifact(
                "a layer's file name leads out of its folder", where=where, why=repr(name[:80])
            )
        if name in seen:
            raise InvalidArtifact(f"two layers are named {name!r}", where=where)
        seen.add(name)
