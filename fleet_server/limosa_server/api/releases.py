"""`/api/v1/releases`: what teams have published, and how far each has come."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from sqlmodel import col, select

from limosa_contracts.errors import InvalidField
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import ModelName, ReleaseName, check_version
from limosa_server.access.scope import GROUP, TEAM
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Viewer
from limosa_server.api.paging import Cursor, Limit, decode_cursor, page
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.registry import promotion, release_rows, running
from limosa_server.store import Transaction
from limosa_server.tables.releases import Release, Variant

router = Router(route_class=AnswerRoute, prefix="/api/v1/releases", tags=["releases"])


@router.get("")
@scoped(TEAM, GROUP)
def list_releases(
    state: State,
    caller: Viewer,
    model: Annotated[str, Query(max_length=129)] = "",
    stage: Literal["", "staging", "production", "archived"] = "",
    limit: Limit = LIMITS.page_size_max,
    cursor: Cursor = "",
) -> dict[str, JsonValue]:
    """Releases, newest first."""
    query = select(Release).order_by(col(Release.id).desc()).limit(limit + 1)
    query = query.where(caller.scope.models(Release.model))
    if cursor:
        query = query.where(col(Release.id) < number_of(cursor))
    if model:
        query = query.where(Release.model == str(ModelName.parse(model)))
    if stage:
        query = query.where(Release.stage == stage)
    with state.store.read() as tx:
        rows = tx.exec(query).all()
        return page(rows, limit=limit, key=lambda row: str(row.id), shape=lambda row: release_json(tx, row))


@router.get("/{team}/{model}/{version}")
@scoped(GROUP)
def show(team: str, model: str, version: str, state: State, caller: Viewer) -> dict[str, JsonValue]:
    """One release: its variants, who runs it, the steps of its life, what production still asks of it."""
    name = ModelName.parse(f"{team}/{model}")
    check_version(version)
    with state.store.read() as tx:
        row = release_rows.find(tx, ReleaseName(name, version))
        runs_on = running.devices_running(tx, row.index_sha256, scope=caller.scope)
        checked = promotion.gate(tx, state.blobs, row, at=state.clock())
        return {
            **release_json(tx, row),
            "running_on": list(runs_on),
            "gate": [one.as_json() for one in checked] if row.stage == "staging" else [],
            "steps": [
                {"at": one.at, "what": one.what, "by": one.by, "reason": one.reason}
                for one in release_rows.steps(tx, row)
            ],
        }


def number_of(cursor: str) -> int:
    """The id in a cursor of a list that is sorted by number. Raises InvalidField."""
    text = decode_cursor(cursor)
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidField("not a cursor of this list", where="cursor")
    return int(text)


def release_json(tx: Transaction, row: Release) -> dict[str, JsonValue]:
    variants = tx.exec(
        select(Variant).where(Variant.release_id == row.id).order_by(col(Variant.position))
    ).all()
    return {
        "name": row.model,
        "version": row.version,
        "index_sha256": row.index_sha256,
        "release_counter": row.release_counter,
        "may_return_to": list(row.may_return_to),
        "min_agent": row.min_agent,
        "stage": row.stage,
        "published_at": row.published_at,
        "published_by": row.published_by,
        "size_bytes": row.size_bytes,
        "retracted": None
        if row.retracted_at is None
        else {"at": row.retracted_at, "by": row.retracted_by, "reason": row.retract_reason},
        "collected_at": row.collected_at,
        "devices": running.counts(tx, [row.index_sha256]).get(row.index_sha256, 0),
        "variants": [
            {
                "name": one.name,
                "manifest_sha256": one.manifest_sha256,
                "size_bytes": one.size_bytes,
                "precision": one.precision,
                "requires": one.requires,
            }
            for one in variants
        ],
    }
