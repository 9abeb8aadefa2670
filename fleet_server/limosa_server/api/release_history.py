"""`/api/v1/releases/…/lineage` and `/api/v1/releases/compare`: where it comes from, what differs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from sqlmodel import col, select

from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import ReleaseName
from limosa_server.access.scope import GROUP, TEAM
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Viewer
from limosa_server.api.release_stages import release_name
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.core.lifecycle.comparing import ReleaseFacts, VariantFacts, compare
from limosa_server.registry import lineage, release_rows, running
from limosa_server.registry.blobs import Blobs
from limosa_server.store import Transaction
from limosa_server.tables.releases import Release, Variant

router = Router(route_class=AnswerRoute, prefix="/api/v1/releases", tags=["releases"])
Name = Annotated[str, Query(max_length=200)]


@router.get("/compare")
@scoped(TEAM, GROUP)
def compare_two(state: State, caller: Viewer, old: Name, new: Name) -> dict[str, JsonValue]:
    """What differs from `old` to `new`: variants, sizes, requirements, and what their evidence measured."""
    names = [ReleaseName.parse(old), ReleaseName.parse(new)]
    for name in names:
        caller.scope.check_team(name.name.team)
    with state.store.read() as tx:
        found = [_facts(tx, state.blobs, release_rows.find(tx, name)) for name in names]
    return compare(*found)


@router.get("/{team}/{model}/{version}/lineage")
@scoped(GROUP)
def show_lineage(team: str, model: str, version: str, state: State, caller: Viewer) -> dict[str, JsonValue]:
    """What it was built from, as its team signed it; its neighbours, its rollouts, the steps of its life."""
    name = release_name(team, model, version)
    with state.store.read() as tx:
        return lineage.lineage(tx, state.blobs, release_rows.find(tx, name), caller.scope)


def _facts(tx: Transaction, blobs: Blobs, row: Release) -> ReleaseFacts:
    rows = tx.exec(select(Variant).where(Variant.release_id == row.id).order_by(col(Variant.position)))
    return ReleaseFacts(
        name=release_rows.name_of(row),
        size_bytes=row.size_bytes,
        min_agent=row.min_agent,
        may_return_to=tuple(row.may_return_to),
        stage=row.stage,
        devices=running.counts(tx, [row.index_sha256]).get(row.index_sha256, 0),
        variants={
            one.name: VariantFacts(
                manifest_sha256=one.manifest_sha256,
                size_bytes=one.size_bytes,
                precision=one.precision,
                baseline_id=one.baseline_id,
                requires=one.requires,
            )
            for one in rows
        },
        metrics=lineage.chosen_metrics(tx, blobs, row),
    )
