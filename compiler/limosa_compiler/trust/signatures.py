"""Signs every variant of an artifact, and checks such signatures (trust 5). No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from limosa_compiler.artifact.archive_file import Archive, Variant
from limosa_compiler.trust.errors import NotSigned
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import InvalidArtifact, SignatureMismatch
from limosa_contracts.json_value import JsonValue
from limosa_contracts.oci import DOC, FILEPATH, INDEX, SIGNATURE_FILE, Descriptor, Manifest
from limosa_contracts.oms import make_bundle, verify_bundle
from limosa_contracts.serving import FILE as SERVING_FILE
from limosa_contracts.serving import Serving
from limosa_contracts.signing_keys import PublicKey, Signs

SIGNATURE_LAYER: Final = DOC


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantSignature:
    """A variant whose signature holds under `keyid`."""

    variant: str
    manifest_sha256: str
    keyid: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBlobs:
    """The blobs of an artifact once it is signed; `index` describes the new image index."""

    blobs: Mapping[str, bytes]
    index: Descriptor
    manifests: tuple[Descriptor, ...]


def sign_archive(archive: Archive, key: Signs) -> SignedBlobs:
    """`model.sig` in every variant, new manifests, a new index; equal input gives equal bytes.

    A signature that this key has made already is kept: a key that a device holds would make another
    one, and so another release. Any other is replaced. Raises InvalidArtifact, InvalidField.
    """
    blobs: dict[str, bytes] = {}
    descriptors = [_sign_variant(archive, variant, key, blobs) for variant in archive.variants]
    index = replace(archive.index, manifests=tuple(descriptors)).encode()
    described = Descriptor.of(index, media_type=INDEX, annotations=archive.index_descriptor.annotations)
    blobs[described.digest] = index
    return SignedBlobs(blobs=blobs, index=described, manifests=tuple(descriptors))


def verify_archive_signatures(archive: Archive, key: PublicKey) -> tuple[VariantSignature, ...]:
    """One entry per variant, if `key` signed all of them. Raises SignatureMismatch, NotSigned."""
    return tuple(_verify_variant(archive, variant, key) for variant in archive.variants)


def is_signed(archive: Archive) -> bool:
    """Whether every variant carries a signature, by whomever."""
    return all(SIGNATURE_FILE in archive.files(variant) for variant in archive.variants)


def signed_names(variant: Variant) -> dict[str, str]:
    """File name -> sha256 of what a signature covers: every file but itself."""
    return {
        layer.filename: layer.sha256 for layer in variant.manifest.layers if layer.filename != SIGNATURE_FILE
    }


def _sign_variant(archive: Archive, variant: Variant, key: Signs, blobs: dict[str, bytes]) -> Descriptor:
    """The signed variant's descriptor; its blobs are put into `blobs`."""
    _check_serving(archive, variant)
    bundle = _own_bundle(archive, variant, key.public) or make_bundle(signed_names(variant), key)
    files = tuple(layer for layer in variant.manifest.layers if layer.filename != SIGNATURE_FILE)
    signature = Descriptor.of(bundle, media_type=SIGNATURE_LAYER, annotations={FILEPATH: SIGNATURE_FILE})
    layers = (*files, signature)
    config_data = _config_for(archive.blobs[variant.manifest.config.digest], layers)
    config = _redescribed(variant.manifest.config, config_data)
    data = replace(variant.manifest, layers=layers, config=config).encode()
    Manifest.parse(data)  # the signature must not take it over a limit
    descriptor = _redescribed(variant.descriptor, data)
    blobs.update({layer.digest: archive.blobs[layer.digest] for layer in files})
    blobs.update({signature.digest: bundle, config.digest: config_data, descriptor.digest: data})
    return descriptor


def _own_bundle(archive: Archive, variant: Variant, key: PublicKey) -> bytes | None:
    bundle = archive.files(variant).get(SIGNATURE_FILE)
    if bundle is None:
        return None
    try:
        verify_bundle(bundle, signed_names(variant), key)
    except SignatureMismatch:
        return None
    return bundle


def _redescribed(descriptor: Descriptor, data: bytes) -> Descriptor:
    fresh = Descriptor.of(data, media_type=descriptor.media_type)
    return replace(descriptor, digest=fresh.digest, size=fresh.size)


def _config_for(config: bytes, layers: Sequence[Descriptor]) -> bytes:
    """A ModelPack config lists its layers by digest; the signature is one more of them."""
    value = parse_object(config, what="config")
    file_system = value.get("modelfs")
    if not isinstance(file_system, dict) or "diffIds" not in file_system:
        return config
    listed: list[JsonValue] = [layer.digest for layer in layers]
    return encode_canonical({**value, "modelfs": {**file_system, "diffIds": listed}})


def _check_serving(archive: Archive, variant: Variant) -> None:
    """A key vouches for a variant only under the name the variant itself carries. Raises InvalidArtifact."""
    data = archive.files(variant).get(SERVING_FILE)
    if data is None:
        raise InvalidArtifact(f"a variant has no {SERVING_FILE}", where=variant.name)
    serving = Serving.parse(data)
    inside, outside = f"{serving.model}@{serving.version}", str(archive.release)
    if inside != outside or serving.variant != variant.name:
        raise InvalidArtifact(
            "a variant is not what the artifact says it is",
            where=f"{variant.name}: {SERVING_FILE}",
            why=f"{inside}, variant {serving.variant!r}, in an artifact of {outside}",
        )


def _verify_variant(archive: Archive, variant: Variant, key: PublicKey) -> VariantSignature:
    bundle = archive.files(variant).get(SIGNATURE_FILE)
    if bundle is None:
        raise NotSigned("a variant is not signed", where=variant.name, why=f"it holds no {SIGNATURE_FILE}")
    files = signed_names(variant)
    try:
        verify_bundle(bundle, files, key)
    except SignatureMismatch as error:
        raise SignatureMismatch(
            error.what, where=f"{variant.name}/{SIGNATURE_FILE}", why=error.why, hint=error.hint
        ) from error
    return VariantSignature(
        variant=variant.name,
        manifest_sha256=variant.descriptor.sha256,
        keyid=key.keyid,
        files=tuple(sorted(files)),
    )
