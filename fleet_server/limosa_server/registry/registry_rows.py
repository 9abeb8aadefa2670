"""Which blobs, manifests and tags a repository has; the bytes are in `blobs.py` (server 5)."""

from __future__ import annotations

from sqlalchemy import update
from sqlmodel import col, select

from limosa_contracts.errors import InvalidArtifact
from limosa_contracts.oci import INDEX, MANIFEST, Descriptor, ImageIndex, Manifest
from limosa_server.errors import BlobUnknown
from limosa_server.store import Transaction
from limosa_server.store.upsert import insert
from limosa_server.tables.releases import RepositoryBlob, RepositoryTag


def has(tx: Transaction, repository: str, sha256: str) -> RepositoryBlob | None:
    return tx.get(RepositoryBlob, (repository, sha256))


def find(tx: Transaction, repository: str, sha256: str) -> RepositoryBlob:
    """Raises BlobUnknown."""
    row = has(tx, repository, sha256)
    if row is None:
        raise BlobUnknown("the repository has no such blob", where=f"{repository}@sha256:{sha256}")
    return row


def by_reference(tx: Transaction, repository: str, reference: str) -> RepositoryBlob:
    """A manifest by tag or by `sha256:…`. Raises BlobUnknown."""
    sha256 = reference.removeprefix("sha256:")
    if sha256 == reference:
        tag = tx.get(RepositoryTag, (repository, reference))
        if tag is None:
            raise BlobUnknown("the repository has no such tag", where=f"{repository}:{reference[:128]}")
        sha256 = tag.sha256
    return find(tx, repository, sha256)


def add(
    tx: Transaction, repository: str, sha256: str, *, size: int, now: float, media_type: str = ""
) -> None:
    """Idempotent; a blob that turns out to be a manifest gets its media type. What is pushed again counts
    as new, so that it is not collected before its manifest comes."""
    statement = insert(tx, RepositoryBlob).values(
        repository=repository, sha256=sha256, size=size, media_type=media_type, pushed_at=now
    )
    again: dict[str, object] = {"pushed_at": now, **({"media_type": media_type} if media_type else {})}
    tx.execute(statement.on_conflict_do_update(index_elements=["repository", "sha256"], set_=again))


def touch(tx: Transaction, repository: str, sha256: str, *, now: float) -> None:
    """A publisher who was told that a blob is here will not send it: it stays as if just pushed."""
    tx.execute(
        update(RepositoryBlob)
        .where(col(RepositoryBlob.repository) == repository, col(RepositoryBlob.sha256) == sha256)
        .values(pushed_at=now)
    )


def tag(tx: Transaction, repository: str, name: str, sha256: str, *, now: float) -> None:
    tx.execute(
        insert(tx, RepositoryTag)
        .values(repository=repository, tag=name, sha256=sha256, updated_at=now)
        .on_conflict_do_update(
            index_elements=["repository", "tag"], set_={"sha256": sha256, "updated_at": now}
        )
    )


def tags(tx: Transaction, repository: str, *, after: str, limit: int) -> list[str]:
    query = (
        select(RepositoryTag.tag)
        .where(RepositoryTag.repository == repository, RepositoryTag.tag > after)
        .order_by(col(RepositoryTag.tag))
        .limit(limit)
    )
    return list(tx.exec(query))


def known_repository(tx: Transaction, repository: str) -> bool:
    query = select(RepositoryBlob.sha256).where(RepositoryBlob.repository == repository).limit(1)
    return tx.exec(query).first() is not None


def referred(data: bytes, media_type: str) -> tuple[Descriptor, ...]:
    """What a manifest or index refers to. Raises InvalidArtifact, InvalidField, InvalidJson, TooLarge."""
    if media_type == INDEX:
        return ImageIndex.parse(data).manifests
    if media_type == MANIFEST:
        manifest = Manifest.parse(data)
        return (manifest.config, *manifest.layers)
    raise InvalidArtifact(
        "this registry keeps OCI manifests and indexes", where="Content-Type", why=media_type[:120]
    )


def check_referred(tx: Transaction, repository: str, descriptors: tuple[Descriptor, ...]) -> None:
    """Raises BlobUnknown for what was not pushed, InvalidArtifact for a size that is not its own."""
    for descriptor in descriptors:
        row = has(tx, repository, descriptor.sha256)
        if row is None:
            raise BlobUnknown("it refers to what was not pushed", where=f"{repository}@{descriptor.digest}")
        if row.size != descriptor.size:
            raise InvalidArtifact(
                "a descriptor has another size than its blob",
                where=descriptor.digest,
                why=f"{row.size} bytes",
            )
