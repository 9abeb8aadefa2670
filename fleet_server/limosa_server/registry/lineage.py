"""Where a release comes from and what became of it: evidence, annotations, neighbours, rollouts."""

from __future__ import annotations

from typing import Final

from sqlmodel import col, select

from limosa_contracts.errors import LimosaError
from limosa_contracts.json_value import JsonObject, JsonValue, objects
from limosa_contracts.oci import ImageIndex
from limosa_server.access.scope import Scope
from limosa_server.registry import evidence, release_rows
from limosa_server.registry.blobs import Blobs
from limosa_server.store import Transaction
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import RolloutRow

_BUILT: Final = ("lineage", "inputs", "tools", "build", "machine")
"""Parts of evidence.json that say from what and with what a release was built."""
ROLLOUTS_MAX: Final = 100


def lineage(tx: Transaction, blobs: Blobs, row: Release, scope: Scope) -> dict[str, JsonValue]:
    """`built_from` is what the evidence says; `signed` whether its team signed that. Of rollouts those within
    `scope` are named."""
    found = evidence.of_release(tx, blobs, row)
    best = evidence.first_signed(found) or (found[0] if found else None)
    document = evidence.document(blobs, best) if best is not None else None
    return {
        "release": release_rows.name_of(row),
        "index_sha256": row.index_sha256,
        "published_at": row.published_at,
        "published_by": row.published_by,
        "signed": best is not None and not best.refused,
        "why_not_signed": evidence.why_not(found),
        "built_from": {name: document[name] for name in _BUILT if name in document} if document else {},
        "annotations": _annotations(blobs, row),
        "before": _neighbour(tx, row, before=True),
        "after": _neighbour(tx, row, before=False),
        "may_return_to": list(row.may_return_to),
        "rollouts": _rollouts(tx, row, scope),
        "steps": [
            {"at": step.at, "what": step.what, "by": step.by, "reason": step.reason}
            for step in release_rows.steps(tx, row)
        ],
    }


def chosen_metrics(tx: Transaction, blobs: Blobs, row: Release) -> dict[str, JsonObject]:
    """By target: the candidate that was chosen and its scores, as the evidence has them."""
    found = evidence.of_release(tx, blobs, row)
    best = evidence.first_signed(found)
    document = evidence.document(blobs, best) if best is not None else None
    if document is None:
        return {}
    candidates = {str(one.get("name")): one for one in objects(document.get("candidates"))}
    metrics: dict[str, JsonObject] = {}
    for choice in objects(document.get("targets")):
        chosen = candidates.get(str(choice.get("chosen")))
        if chosen is not None:
            kept = ("name", "precision", "size_bytes", "holdout", "latency", "memory_bytes", "load_ms")
            metrics[str(choice.get("target"))] = {name: chosen[name] for name in kept if name in chosen}
    return metrics


def _annotations(blobs: Blobs, row: Release) -> dict[str, JsonValue]:
    """Of the image index: they are inside of what the team signed."""
    try:
        return dict(ImageIndex.parse(blobs.read(row.index_sha256)).annotations)
    except (FileNotFoundError, LimosaError):
        return {}  # collected, or never pushed here


def _neighbour(tx: Transaction, row: Release, *, before: bool) -> JsonValue:
    """The release of the same model with the next lower or higher counter."""
    counter = col(Release.release_counter)
    query = select(Release).where(Release.model == row.model)
    if before:
        query = query.where(counter < row.release_counter).order_by(counter.desc())
    else:
        query = query.where(counter > row.release_counter).order_by(counter)
    found = tx.exec(query.limit(1)).first()
    return release_rows.name_of(found) if found is not None else None


def _rollouts(tx: Transaction, row: Release, scope: Scope) -> list[JsonValue]:
    rows = tx.exec(
        select(RolloutRow)
        .where(
            RolloutRow.index_sha256 == row.index_sha256,
            scope.rollouts(RolloutRow.model, RolloutRow.target),
        )
        .order_by(col(RolloutRow.id).desc())
        .limit(ROLLOUTS_MAX)
    )
    return [
        {"id": one.id, "target": one.target, "status": one.status, "since": one.since, "reason": one.reason}
        for one in rows
    ]
