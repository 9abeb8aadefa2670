"""What one artifact needs to become another: a delta of every blob that changed, in one file.

8 bytes   magic "LMSDELTS"
u32       bytes of the header, little-endian
header    canonical JSON, schema limosa.deltas/1: the two image indexes, and how each blob comes
bodies    of the blobs that are not kept, in the order of the header; nothing follows
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

from limosa_compiler.artifact.archive_file import Archive, Variant
from limosa_compiler.errors import DeltaUnusable, OtherBase
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.delta.applying import apply_delta
from limosa_contracts.delta.errors import DeltaRefused
from limosa_contracts.delta.limits import DeltaLimits
from limosa_contracts.delta.making import make_delta
from limosa_contracts.delta.wire import DeltaHead
from limosa_contracts.delta.zstd_frames import FrameReader, frame
from limosa_contracts.errors import LimosaError
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import DIGEST, ReleaseName
from limosa_contracts.oci import Descriptor, digest_of

MAGIC: Final = b"LMSDELTS"
SCHEMA: Final = "limosa.deltas/1"
SUFFIX: Final = ".limosadelta"
_LENGTH: Final = struct.Struct("<I")
KEPT, DELTA, FULL = "kept", "delta", "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobWay:
    """How a blob of the new artifact comes about."""

    digest: str
    size: int
    name: str  # "variant/file", "" for documents of the image layout
    how: str  # kept | delta | full
    codec: str = ""  # of a delta
    base: str = ""  # digest of the blob that a delta is for
    moved: int = 0  # bytes of it in the file

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        return cls(
            digest=fields.text("digest", pattern=DIGEST),
            size=fields.integer("size", low=0, high=LIMITS.blob_max_bytes),
            name=fields.text("name", max_chars=512, empty=True),
            how=fields.choice("how", (KEPT, DELTA, FULL)),
            codec=fields.text("codec", max_chars=32, empty=True),
            base=fields.text("base", max_chars=80, empty=True),
            moved=fields.integer("moved", low=0, high=LIMITS.blob_max_bytes),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "digest": self.digest, "size": self.size, "name": self.name, "how": self.how,
            "codec": self.codec, "base": self.base, "moved": self.moved,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactDelta:
    release: str  # of the new artifact
    base_index: str  # digest of the old artifact's image index
    index: Descriptor
    mtime: int  # of the members of the new archive
    ways: tuple[BlobWay, ...]
    bodies: Mapping[str, bytes]  # by digest of the blob

    def encode(self) -> bytes:
        header = encode_canonical(
            {
                "schema": SCHEMA,
                "release": self.release,
                "base_index": self.base_index,
                "index": self.index.as_json(),
                "mtime": self.mtime,
                "blobs": [way.as_json() for way in self.ways],
            }
        )
        bodies = b"".join(self.bodies[way.digest] for way in self.ways if way.how != KEPT)
        return MAGIC + _LENGTH.pack(len(header)) + header + bodies

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises DeltaUnusable."""
        begin = len(MAGIC) + _LENGTH.size
        if len(data) < begin or not data.startswith(MAGIC):
            raise DeltaUnusable("this is not a delta between two artifacts")
        end = begin + _LENGTH.unpack_from(data, len(MAGIC))[0]
        try:
            fields = Fields(parse_object(data[begin:end], what="delta"), where="delta")
            fields.schema(SCHEMA)
            ways = tuple(
                BlobWay.parse(Fields(item, where=place))
                for place, item in fields.items("blobs", max_items=LIMITS.archive_max_members)
            )
            return cls(
                release=fields.text("release", max_chars=256),
                base_index=fields.text("base_index", pattern=DIGEST),
                index=Descriptor.parse(fields.raw("index"), where="delta.index"),
                mtime=fields.integer("mtime", low=0),
                ways=ways,
                bodies=dict(_cut(ways, data, end)),
            )
        except DeltaUnusable:
            raise
        except LimosaError as error:
            raise DeltaUnusable("the head of a delta does not parse", why=str(error)) from error


def _cut(ways: tuple[BlobWay, ...], data: bytes, at: int) -> Iterator[tuple[str, bytes]]:
    for way in ways:
        if way.how == KEPT:
            continue
        if at + way.moved > len(data):
            raise DeltaUnusable("the delta is cut off")
        yield way.digest, data[at : at + way.moved]
        at += way.moved
    if at != len(data):
        raise DeltaUnusable("bytes follow the delta")


def make_artifact_delta(base: Archive, new: Archive, *, mtime: int) -> ArtifactDelta:
    """Every blob of `new`, by the smallest way from a blob of `base`."""
    bodies: dict[str, bytes] = {}
    names, bases = _names(new), _bases(base, new)
    ways: list[BlobWay] = []
    for digest in sorted(new.blobs):
        data = new.blobs[digest]
        plain = BlobWay(digest=digest, size=len(data), name=names.get(digest, ""), how=KEPT)
        if digest in base.blobs:
            ways.append(plain)
            continue
        old = bases.get(digest, "")
        delta = make_delta(base.blobs[old], data) if old else None
        bodies[digest] = delta if delta is not None else frame(data)
        moved = len(bodies[digest])
        if delta is None:
            ways.append(replace(plain, how=FULL, moved=moved))
        else:
            codec = DeltaHead.parse(delta, DeltaLimits()).codec_name
            ways.append(replace(plain, how=DELTA, base=old, codec=codec, moved=moved))
    return ArtifactDelta(
        release=str(new.release),
        base_index=base.index_descriptor.digest,
        index=new.index_descriptor,
        mtime=mtime,
        ways=tuple(ways),
        bodies=bodies,
    )


def apply_artifact_delta(base: Archive, delta: ArtifactDelta) -> dict[str, bytes]:
    """The blobs of the new artifact, each with its digest. Raises DeltaUnusable, OtherBase."""
    if base.index_descriptor.digest != delta.base_index:
        raise OtherBase(
            "the delta is for another artifact",
            why=f"it begins at {delta.base_index[:19]}…, this is {base.index_descriptor.digest[:19]}…",
        )
    blobs: dict[str, bytes] = {}
    for way in delta.ways:
        data = _blob(base, way, delta.bodies.get(way.digest, b""))
        if len(data) != way.size or digest_of(data) != way.digest:
            raise DeltaUnusable("a blob comes out with another digest", where=way.name or way.digest)
        blobs[way.digest] = data
    if delta.index.digest not in blobs:
        raise DeltaUnusable("the new image index is missing")
    return blobs


def _blob(base: Archive, way: BlobWay, body: bytes) -> bytes:
    if way.how == FULL:
        return _whole(way, body)
    source = way.digest if way.how == KEPT else way.base
    if source not in base.blobs:
        raise DeltaUnusable("a blob is to come from one that the artifact does not have", where=way.name)
    if way.how == KEPT:
        return base.blobs[source]
    try:
        return bytes(apply_delta(base.blobs[source], body, limits=DeltaLimits(result_max_bytes=way.size)))
    except DeltaRefused as error:
        raise DeltaUnusable(error.what, where=way.name, why=error.why) from error


def _whole(way: BlobWay, body: bytes) -> bytes:
    reader = FrameReader(memoryview(body))
    try:
        data = reader.read(way.size)
        reader.end()
    except DeltaRefused as error:
        raise DeltaUnusable(error.what, where=way.name, why=error.why) from error
    return data


def _names(archive: Archive) -> dict[str, str]:
    return {digest: f"{variant}/{file}" for (variant, file), digest in _files(archive.variants)}


def _bases(base: Archive, new: Archive) -> dict[str, str]:
    """Digest of each new file -> digest of the file of that name in the base: of the variant of the same
    name, else of any."""
    files = dict(_files(base.variants))
    by_file = {file: digest for (_, file), digest in reversed(list(files.items()))}
    return {
        digest: files.get((variant, file)) or by_file[file]
        for (variant, file), digest in _files(new.variants)
        if file in by_file
    }


def _files(variants: tuple[Variant, ...]) -> Iterator[tuple[tuple[str, str], str]]:
    for variant in variants:
        for layer in variant.manifest.layers:
            yield (variant.name, layer.filename), layer.digest


def release_name(delta: ArtifactDelta) -> ReleaseName:
    """Raises DeltaUnusable."""
    try:
        return ReleaseName.parse(delta.release)
    except LimosaError as error:
        raise DeltaUnusable("the delta does not name its release", why=str(error)) from error
