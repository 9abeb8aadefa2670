"""Throws away bytes that nothing needs: no release, no device, no open rollout, no push under way (server 5).

Order: rows go in one transaction, files after it. A crash in between leaves files without a row, which
the next round finds by walking the folder.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import delete
from sqlmodel import col, select

from limosa_contracts.json_value import JsonValue
from limosa_server.access import audit
from limosa_server.core.lifecycle.retention import StoredBlob, garbage
from limosa_server.errors import BlobDamaged
from limosa_server.registry import release_rows
from limosa_server.registry.references import Roots, reachable
from limosa_server.registry.retention_facts import needed_releases, roots_of
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.releases import Release, RepositoryBlob, RepositoryTag

log = logging.getLogger(__name__)
NAMED_MAX = 200  # releases in one answer


@dataclass(slots=True, kw_only=True)
class Collected:
    """What went, or would go. `kept`: why releases that left their stages still have their bytes."""

    dry_run: bool
    releases: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    tags: int = 0
    blobs: int = 0
    freed_bytes: int = 0

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "dry_run": self.dry_run,
            "releases": list(self.releases[:NAMED_MAX]),
            "kept": dict(sorted(self.kept.items())[:NAMED_MAX]),
            "tags": self.tags,
            "blobs": self.blobs,
            "freed_bytes": self.freed_bytes,
        }


def collect(state: ServerState, *, dry_run: bool, actor: str) -> Collected:
    """One round over all repositories. What changed meanwhile is left for the next one."""
    now = state.clock()
    done = Collected(dry_run=dry_run)
    with state.store.read() as tx:
        needed = needed_releases(tx, state.settings.registry, now=now)
        roots = roots_of(tx, needed, state.settings.registry, now=now)
        left = [row for row in tx.exec(select(Release)) if row.stage == "archived" or row.retracted_at]
    for row in left:
        if row.id is not None and row.id in needed:
            done.kept[release_rows.name_of(row)] = needed[row.id]
    for repository, repository_roots in sorted(roots.items()):
        try:
            alive = reachable(state.blobs, repository_roots)
        except BlobDamaged as error:  # that repository keeps everything
            log.warning("%s", error)
            done.kept[repository] = str(error)
            continue
        _one_repository(state, repository, repository_roots, alive, needed, done, now=now)
    _files(state, done, now=now)
    if not dry_run and (done.blobs or done.releases):
        _record(state, done, actor=actor, now=now)
    return done


def _one_repository(
    state: ServerState,
    repository: str,
    roots: Roots,
    alive: frozenset[str],
    needed: Mapping[int, str],
    done: Collected,
    *,
    now: float,
) -> None:
    grace_s = state.settings.registry.push_grace_s
    gone = garbage(roots.blobs, alive, now=now, grace_s=grace_s)
    if not gone and not roots.dead_tags:
        return
    if done.dry_run:
        _count(done, gone, roots)
        with state.store.read() as tx:
            done.releases.extend(release_rows.name_of(row) for row in _losing(tx, repository, gone, needed))
        return
    with state.store.transaction() as tx:
        # A rollout or a promotion may have begun since: then this repository waits for the next round.
        if set(needed_releases(tx, state.settings.registry, now=now)) - set(needed):
            return
        for row in _losing(tx, repository, gone, needed):
            row.collected_at = now
            tx.add(row)
            done.releases.append(release_rows.name_of(row))
            release_rows.note(tx, row, "collected", at=now, by="server", reason="nothing needs its bytes")
        _delete(tx, repository, roots, gone, before=now - grace_s)
        tx.announce("releases")
    _count(done, gone, roots)


def _losing(
    tx: Transaction, repository: str, gone: list[StoredBlob], needed: Mapping[int, str]
) -> list[Release]:
    """Releases whose index goes."""
    digests = {one.sha256 for one in gone}
    rows = tx.exec(select(Release).where(Release.model == repository).order_by(col(Release.id))).all()
    return [row for row in rows if row.id not in needed and row.index_sha256 in digests]


def _delete(tx: Transaction, repository: str, roots: Roots, gone: list[StoredBlob], *, before: float) -> None:
    for name in roots.dead_tags:
        tx.execute(
            delete(RepositoryTag).where(
                col(RepositoryTag.repository) == repository,
                col(RepositoryTag.tag) == name,
                col(RepositoryTag.updated_at) <= before,
            )
        )
    for one in gone:
        tx.execute(
            delete(RepositoryBlob).where(
                col(RepositoryBlob.repository) == repository,
                col(RepositoryBlob.sha256) == one.sha256,
                col(RepositoryBlob.pushed_at) <= before,  # pushed again since: it stays
            )
        )


def _count(done: Collected, gone: list[StoredBlob], roots: Roots) -> None:
    done.blobs += len(gone)
    done.tags += len(roots.dead_tags)
    if done.dry_run:
        done.freed_bytes += sum(one.size for one in gone)


def _files(state: ServerState, done: Collected, *, now: float) -> None:
    """Files that no repository has a row for; and deltas between blobs that are gone."""
    before = now - state.settings.registry.push_grace_s
    if done.dry_run:
        return
    with state.store.read() as tx:
        rows = frozenset(tx.exec(select(RepositoryBlob.sha256).distinct()))
    for sha256 in state.blobs.stored():
        if sha256 not in rows:
            done.freed_bytes += state.blobs.remove(sha256, written_before=before)
    done.freed_bytes += state.deltas.drop_strangers(rows)


def _record(state: ServerState, done: Collected, *, actor: str, now: float) -> None:
    log.info("collected %d blobs, %d bytes", done.blobs, done.freed_bytes)
    with state.store.transaction() as tx:
        audit.record(
            tx, at=now, actor=actor, action="release.collect", object="registry", after=done.as_json()
        )  # fmt: skip
