"""Reads what retention decides on: releases, who holds on to them, tags and blobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlmodel import col, select

from limosa_contracts.evidence_statement import referrers_tag
from limosa_server.core.lifecycle.retention import InUse, Kept, StoredBlob, reasons
from limosa_server.core.rollout import RolloutStatus
from limosa_server.registry.references import Roots
from limosa_server.settings import RegistrySettings
from limosa_server.store import Transaction
from limosa_server.tables.devices import DeviceModel
from limosa_server.tables.lifecycle import ReleaseCount, ReleaseStep
from limosa_server.tables.modes import ShadowAssignmentRow
from limosa_server.tables.releases import Release, RepositoryBlob, RepositoryTag
from limosa_server.tables.rollouts import AssignmentRow, ExecutionRow, RolloutRow

_OPEN = tuple(status.value for status in RolloutStatus if not status.terminal)


def needed_releases(tx: Transaction, settings: RegistrySettings, *, now: float) -> Mapping[int, str]:
    """Release id -> why its bytes are needed."""
    left: dict[int, float] = {}
    steps = select(ReleaseStep.release_id, ReleaseStep.at).where(
        col(ReleaseStep.what).in_(("archived", "retracted"))
    )
    for release, at in tx.exec(steps.order_by(col(ReleaseStep.id))):
        left[release] = max(at, left.get(release, at))
    releases = [_kept(row, left) for row in tx.exec(select(Release).order_by(col(Release.id)))]
    return reasons(releases, _in_use(tx), now=now, keep_s=settings.left_kept_s)


def _kept(row: Release, left: Mapping[int, float]) -> Kept:
    assert row.id is not None
    return Kept(
        id=row.id,
        model=row.model,
        version=row.version,
        index_sha256=row.index_sha256,
        stage=row.stage,
        retracted=row.retracted_at is not None,
        left_at=left.get(row.id, row.published_at),
        may_return_to=tuple(row.may_return_to),
    )


def _in_use(tx: Transaction) -> InUse:
    open_rollout = col(RolloutRow.status).in_(_OPEN)
    rollouts = set(tx.exec(select(RolloutRow.index_sha256).where(open_rollout)))
    rollouts |= set(
        tx.exec(
            select(ExecutionRow.from_index)
            .join(RolloutRow, col(RolloutRow.id) == col(ExecutionRow.rollout))
            .where(open_rollout)
            .distinct()
        )
    )
    versions: set[tuple[str, str]] = set()
    for row in tx.exec(select(RolloutRow).where(open_rollout)):
        back = row.spec.get("on_failure")
        to = back.get("to") if isinstance(back, Mapping) else None
        if isinstance(to, str) and to:
            versions.add((row.model, to))
    other_slot = select(DeviceModel.model, DeviceModel.previous_version).distinct()
    versions |= {(model, version) for model, version in tx.exec(other_slot) if version}
    running = set(tx.exec(select(ReleaseCount.index_sha256).where(col(ReleaseCount.devices) > 0)))
    running |= set(tx.exec(select(DeviceModel.candidate_index).distinct()))
    running |= set(tx.exec(select(DeviceModel.active_index).distinct()))
    return InUse(
        running=frozenset(running - {""}),
        wanted=frozenset(
            {
                *tx.exec(select(AssignmentRow.index_sha256).distinct()),
                *tx.exec(select(ShadowAssignmentRow.index_sha256).distinct()),
            }
        ),
        rollouts=frozenset(rollouts - {""}),
        previous=frozenset(versions),
    )


def roots_of(
    tx: Transaction, needed: Mapping[int, str], settings: RegistrySettings, *, now: float
) -> dict[str, Roots]:
    """By repository: needed releases and tags are where references begin."""
    indexes: dict[str, set[str]] = {}
    left: dict[str, set[str]] = {}
    for row in tx.exec(select(Release)):
        (indexes if row.id in needed else left).setdefault(row.model, set()).add(row.index_sha256)
    tags: dict[str, list[RepositoryTag]] = {}
    for tag in tx.exec(select(RepositoryTag).order_by(col(RepositoryTag.tag))):
        tags.setdefault(tag.repository, []).append(tag)
    before = now - settings.push_grace_s
    found: dict[str, Roots] = {}
    for repository in tx.exec(select(RepositoryBlob.repository).distinct()):
        rows = tx.exec(select(RepositoryBlob).where(RepositoryBlob.repository == repository)).all()
        gone = left.get(repository, set()) - indexes.get(repository, set())
        dead = tuple(_dead_tags(tags.get(repository, ()), gone, before))
        found[repository] = Roots(
            blobs=[StoredBlob(sha256=row.sha256, size=row.size, pushed_at=row.pushed_at) for row in rows],
            media_types={row.sha256: row.media_type for row in rows if row.media_type},
            digests=frozenset(indexes.get(repository, set()))
            | {tag.sha256 for tag in tags.get(repository, ()) if tag.tag not in dead}
            | _young(rows, before),
            dead_tags=dead,
        )
    return found


def _young(rows: Iterable[RepositoryBlob], before: float) -> set[str]:
    """What a push under way has put there so far keeps what it refers to."""
    return {row.sha256 for row in rows if row.media_type and row.pushed_at > before}


def _dead_tags(tags: Iterable[RepositoryTag], gone: set[str], before: float) -> Iterable[str]:
    """Tags of releases that nothing needs, and of the evidence about them."""
    referrers = {referrers_tag(f"sha256:{index}") for index in gone}
    for tag in tags:
        if tag.updated_at <= before and (tag.sha256 in gone or tag.tag in referrers):
            yield tag.tag
