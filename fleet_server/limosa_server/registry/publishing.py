"""A team publishes: its signed metadata is checked, its releases registered, devices told (trust 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from sqlmodel import col, select

from limosa_contracts.baseline import Baseline
from limosa_contracts.canonical import parse_object
from limosa_contracts.errors import Conflict, LimosaError, TooLarge
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject
from limosa_contracts.limits import LIMITS
from limosa_contracts.oci import (
    INDEX,
    MANIFEST,
    REQUIRES_ANNOTATION,
    VARIANT_ANNOTATION,
    Descriptor,
    ImageIndex,
    Manifest,
    Requirements,
)
from limosa_contracts.serving import BASELINE_FILE
from limosa_server.access import audit
from limosa_server.errors import MetadataRefused
from limosa_server.registry import registry_rows
from limosa_server.registry.release_rows import note
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.releases import Release, TufRole, Variant
from limosa_server.trust.team_metadata import SignedRelease, parse_targets, releases_of

Precondition: TypeAlias = Callable[[Transaction], None]


def publish(
    state: ServerState, team: str, offered: Mapping[str, bytes], *, actor: str, precondition: Precondition
) -> list[Release]:
    """The releases that are new. Raises MetadataRefused, BlobUnknown, Conflict, and whatever
    `precondition` does; it runs in the same transaction, so that of two publishers one is second."""
    now = state.clock()
    fresh: list[Release] = []
    with state.store.transaction() as tx:
        precondition(tx)
        team_role, checked = state.tuf.check(tx, team, offered, now=now)
        for role, metadata in checked.items():
            listed = releases_of(team, team_role, role, metadata.signed)
            _archive_missing(tx, role, {one.name.target_path for one in listed}, at=now, actor=actor)
            stocked = [one for one in listed if not _left_elsewhere(tx, role, one)]
            registered = (register(tx, state, one, actor=actor, now=now) for one in stocked)
            fresh.extend(release for release in registered if release is not None)
            state.tuf.keep(tx, team=team, role=role, metadata=metadata, body=offered[role])
        audit.record(
            tx,
            at=now,
            actor=actor,
            action="team.publish",
            object=f"team {team}",
            after={
                "roles": {role: metadata.signed.version for role, metadata in checked.items()},
                "releases": [f"{one.model}@{one.version}" for one in fresh],
            },
        )
        tx.announce("releases")
    state.tuf.republish(now)
    return fresh


def _left_elsewhere(tx: Transaction, role: str, signed: SignedRelease) -> bool:
    """Listed before, but never brought here: the bin came from another server for another release."""
    model = str(signed.name.name)
    if registry_rows.has(tx, model, signed.index_sha256) is not None:
        return False
    known = select(Release.id).where(Release.model == model, Release.version == signed.name.version)
    row = tx.get(TufRole, role)
    if row is None or tx.exec(known).first() is not None:
        return False
    target = parse_targets(row.body.encode(), role=role).signed.targets.get(signed.name.target_path)
    return target is not None and target.hashes.get("sha256") == signed.index_sha256


def register(
    tx: Transaction, state: ServerState, signed: SignedRelease, *, actor: str, now: float
) -> Release | None:
    """The new release, or None if it was known. Raises Conflict for other bytes under a known version."""
    model, version = str(signed.name.name), signed.name.version
    known = tx.exec(select(Release).where(Release.model == model, Release.version == version)).first()
    if known is not None:
        if known.index_sha256 != signed.index_sha256:
            raise Conflict(
                f"{signed.name} is published already, with other bytes", hint="publish it as another version"
            )
        known.may_return_to, known.min_agent = list(signed.custom.may_return_to), signed.custom.min_agent
        known.delisted = False
        if known.collected_at is not None and registry_rows.has(tx, model, signed.index_sha256) is not None:
            _read_index(tx, state, signed, model)
            known.collected_at = None  # its bytes were pushed again
        return None
    _check_counter(tx, signed, model)
    index = _read_index(tx, state, signed, model)
    release = Release(
        model=model,
        version=version,
        index_sha256=signed.index_sha256,
        release_counter=signed.custom.release_counter,
        may_return_to=list(signed.custom.may_return_to),
        min_agent=signed.custom.min_agent,
        published_at=now,
        published_by=actor,
        size_bytes=0,
    )
    tx.add(release)
    tx.flush()
    assert release.id is not None
    for position, descriptor in enumerate(index.manifests):
        variant = _variant(tx, state, model, release.id, position, descriptor)
        release.size_bytes += variant.size_bytes
        tx.add(variant)
    note(tx, release, "published", at=now, by=actor, reason="")
    return release


def _check_counter(tx: Transaction, signed: SignedRelease, model: str) -> None:
    """trust 2.4. Which of two is newer only devices decide: `publish --sync` brings old ones back in
    any order, so a counter is only refused here where it would stand for two releases."""
    query = select(Release).where(
        Release.model == model, Release.release_counter == signed.custom.release_counter
    )
    other = tx.exec(query).first()
    if other is not None:
        raise MetadataRefused(
            "the release counter is another release's",
            where=str(signed.name),
            why=f"{signed.custom.release_counter} is {other.version}",
        )


def _read_index(tx: Transaction, state: ServerState, signed: SignedRelease, model: str) -> ImageIndex:
    row = registry_rows.find(tx, model, signed.index_sha256)
    if row.size != signed.index_size:
        raise MetadataRefused("a target has another length than its blob", where=str(signed.name))
    data = state.blobs.read(signed.index_sha256)
    registry_rows.check_referred(tx, model, registry_rows.referred(data, INDEX))
    return ImageIndex.parse(data)


def _variant(
    tx: Transaction, state: ServerState, model: str, release_id: int, position: int, descriptor: Descriptor
) -> Variant:
    data = state.blobs.read(descriptor.sha256)
    registry_rows.check_referred(tx, model, registry_rows.referred(data, MANIFEST))
    manifest = Manifest.parse(data)
    requires = descriptor.annotations.get(REQUIRES_ANNOTATION, "")
    return Variant(
        release_id=release_id,
        position=position,
        name=descriptor.annotations.get(VARIANT_ANNOTATION, "") or f"variant-{position}",
        manifest_sha256=descriptor.sha256,
        size_bytes=descriptor.size + manifest.config.size + sum(layer.size for layer in manifest.layers),
        precision=_precision(state, manifest.config),
        baseline_id=_baseline_id(state, manifest),
        requires=dict(_requires(requires)),
    )


def _requires(text: str) -> JsonObject:
    if not text:
        return {}
    return parse_object(Requirements.parse(text).encode().encode(), what="requirements")


def _precision(state: ServerState, config: Descriptor) -> str:
    """`config.precision` of the ModelPack config; "" if it says nothing that can be read."""
    if config.size > LIMITS.manifest_max_bytes:
        return ""
    try:
        fields = Fields(parse_object(state.blobs.read(config.sha256), what="config"), where="config")
        return fields.fields("config").text("precision", max_chars=32)
    except LimosaError:
        return ""  # it is shown to people only


def _baseline_id(state: ServerState, manifest: Manifest) -> str:
    """What its devices' windows have to name (telemetry 2.2). Raises what Baseline.parse does."""
    if not manifest.has(BASELINE_FILE):
        return ""
    layer = manifest.layer(BASELINE_FILE)
    if layer.size > LIMITS.document_max_bytes:
        raise TooLarge(f"{layer.size} bytes", where=BASELINE_FILE, why=f"at most {LIMITS.document_max_bytes}")
    return Baseline.parse(state.blobs.read(layer.sha256)).baseline_id


def _archive_missing(tx: Transaction, role: str, listed: set[str], *, at: float, actor: str) -> None:
    """A release that its team no longer lists keeps its record, but cannot be installed any more."""
    row = tx.get(TufRole, role)
    before = set(parse_targets(row.body.encode(), role=role).signed.targets) if row else set()
    for path in before - listed:
        team, model, version, _ = path.split("/")
        query = select(Release).where(
            Release.model == f"{team}/{model}", Release.version == version, col(Release.delisted).is_(False)
        )
        for release in tx.exec(query):
            release.stage, release.delisted = "archived", True
            note(tx, release, "archived", at=at, by=actor, reason="its team does not list it any more")
