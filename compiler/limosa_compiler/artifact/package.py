"""Variants as files become a release as blobs: configs, manifests, the image index (compiler 6.1).

Pure and deterministic: equal files, in the same order, give equal digests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Final

from limosa_compiler.artifact.archive_file import MODEL_ANNOTATION, VERSION_ANNOTATION
from limosa_contracts.canonical import encode_canonical
from limosa_contracts.errors import InvalidArtifact
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import ModelName, ReleaseName
from limosa_contracts.oci import (
    ARTIFACT_TYPE,
    CONFIG,
    DATASET,
    DOC,
    FILEPATH,
    INDEX,
    MANIFEST,
    REQUIRES_ANNOTATION,
    VARIANT_ANNOTATION,
    WEIGHT,
    WEIGHT_CONFIG,
    Descriptor,
    ImageIndex,
    Manifest,
    Requirements,
    digest_of,
)
from limosa_contracts.serving import FILE as SERVING_FILE
from limosa_contracts.serving import GOLDEN_FILE, Serving

PLATFORM_OF_ARCHITECTURE: Final[Mapping[str, Mapping[str, str]]] = {
    "x86_64": {"os": "linux", "architecture": "amd64"},
    "aarch64": {"os": "linux", "architecture": "arm64"},
    "armv7l": {"os": "linux", "architecture": "arm", "variant": "v7"},
}
"""`platform.machine()` -> OCI platform."""
_DOC_SUFFIXES: Final = (".md", ".html", ".txt")
_DOC_FILES: Final = ("bom.json",)  # told by name: other .json files are part of the model


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantFiles:
    """One variant before it is packaged. `files` holds serving.json and every file that it names.

    `annotations` go into the manifest, `about` into the descriptor of the ModelPack config
    (authors, licenses, title, ...).
    """

    name: str
    files: Mapping[str, bytes]  # file name -> bytes, without any folder
    requirements: Requirements
    annotations: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaged:
    """What `write_archive` needs."""

    blobs: Mapping[str, bytes]  # by digest
    index: Descriptor
    release: ReleaseName


def package_release(
    variants: Sequence[VariantFiles], *, annotations: Mapping[str, str] | None = None
) -> Packaged:
    """One manifest per variant, in the given order, which is the order in which devices choose.

    Equal files of several variants are one blob. Raises InvalidArtifact if the variants are none,
    not of one release, or two of one name; InvalidField if a serving.json does not parse.
    """
    releases = {_release(variant) for variant in variants}
    if len(releases) != 1 or len({variant.name for variant in variants}) != len(variants):
        raise InvalidArtifact(
            "variants do not make a release",
            why=f"{len(variants)} variants of {len(releases)} releases; names must differ",
        )
    (release,) = releases
    blobs: dict[str, bytes] = {}
    manifests: list[Descriptor] = []
    for variant in variants:
        layers = _store_layers(variant.files, blobs)
        config = _store(blobs, _config(variant, layers), media_type=CONFIG)
        manifest = Manifest(config=config, layers=layers, annotations=dict(variant.annotations))
        manifests.append(_describe(variant, _store(blobs, manifest.encode(), media_type=MANIFEST)))
    index = seal(manifests, release, blobs, annotations=annotations or {})
    return Packaged(blobs=blobs, index=index, release=release)


def seal(
    manifests: Sequence[Descriptor],
    release: ReleaseName,
    blobs: dict[str, bytes],
    *,
    annotations: Mapping[str, str],
) -> Descriptor:
    """Adds the image index over `manifests` to `blobs`, and describes it."""
    said = {
        **annotations,
        MODEL_ANNOTATION: str(release.name),
        VERSION_ANNOTATION: release.version,
        "org.opencontainers.image.version": release.version,
    }
    index = ImageIndex(manifests=tuple(manifests), annotations=said, extra={"artifactType": ARTIFACT_TYPE})
    return _store(blobs, index.encode(), media_type=INDEX)


def media_type_of(filename: str, *, model_file: str) -> str:
    """
    >>> media_type_of("golden.safetensors", model_file="model.onnx")
    'application/vnd.cncf.model.dataset.v1.raw'
    """
    if filename == model_file:
        return WEIGHT
    if filename == GOLDEN_FILE:
        return DATASET
    return DOC if filename.endswith(_DOC_SUFFIXES) or filename in _DOC_FILES else WEIGHT_CONFIG


def format_of(model_file: str) -> str:
    """As ModelPack's `config.format` names it.

    >>> format_of("model.onnx"), format_of("model.tflite")
    ('onnx', 'tflite')
    """
    return PurePosixPath(model_file).suffix.removeprefix(".")


def _release(variant: VariantFiles) -> ReleaseName:
    serving = _serving(variant)
    return ReleaseName(ModelName.parse(serving.model), serving.version)


def _serving(variant: VariantFiles) -> Serving:
    if SERVING_FILE not in variant.files:
        raise InvalidArtifact("a variant has no serving.json", where=variant.name)
    serving = Serving.parse(variant.files[SERVING_FILE])
    for name in (serving.model_file, GOLDEN_FILE):
        if name not in variant.files:
            raise InvalidArtifact(f"a variant has no {name}", where=variant.name)
    return serving


def _store(blobs: dict[str, bytes], data: bytes, *, media_type: str) -> Descriptor:
    blobs[digest_of(data)] = data
    return Descriptor.of(data, media_type=media_type)


def _store_layers(files: Mapping[str, bytes], blobs: dict[str, bytes]) -> tuple[Descriptor, ...]:
    """The model first, then the rest by name."""
    model_file = Serving.parse(files[SERVING_FILE]).model_file
    layers: list[Descriptor] = []
    for name in sorted(files, key=lambda name: (name != model_file, name)):
        layer = _store(blobs, files[name], media_type=media_type_of(name, model_file=model_file))
        layers.append(replace(layer, annotations={FILEPATH: name}))
    return tuple(layers)


def _describe(variant: VariantFiles, manifest: Descriptor) -> Descriptor:
    """In the image index. Without artifactType: skopeo before 1.14 drops it, and then cannot keep digests."""
    machines = variant.requirements.architectures
    return replace(
        manifest,
        platform=dict(PLATFORM_OF_ARCHITECTURE.get(machines[0] if machines else "", {})),
        annotations={
            VARIANT_ANNOTATION: variant.name,
            REQUIRES_ANNOTATION: variant.requirements.encode(),
        },
    )


def _config(variant: VariantFiles, layers: Sequence[Descriptor]) -> bytes:
    """A ModelPack model config: descriptor, config, modelfs. Layers are raw, so a diffId is a digest."""
    serving = Serving.parse(variant.files[SERVING_FILE])
    return encode_canonical(
        {
            "descriptor": {**variant.about, "name": serving.model, "version": serving.version},
            "config": {"format": format_of(serving.model_file), "precision": serving.precision},
            "modelfs": {"type": "layers", "diffIds": [layer.digest for layer in layers]},
        }
    )
