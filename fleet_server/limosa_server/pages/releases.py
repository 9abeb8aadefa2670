"""Releases: what teams have published, how far each has come, and where it runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response
from sqlmodel import col, select

from limosa_server.access.scope import GROUP, TEAM
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.pages.guard import SignedIn, page_router
from limosa_server.pages.limits import LIMITS
from limosa_server.pages.render import page
from limosa_server.registry import running
from limosa_server.tables.releases import Release, Variant
from limosa_server.tables.rollouts import RolloutRow

router = page_router()


@router.get("/releases")
@scoped(TEAM, GROUP)
def list_releases(
    request: Request,
    state: State,
    who: SignedIn,
    model: Annotated[str, Query(max_length=129)] = "",
    before: Annotated[int, Query(ge=0, lt=2**63)] = 0,
) -> Response:
    query = select(Release).order_by(col(Release.id).desc()).limit(LIMITS.rows_max + 1)
    query = query.where(who.caller.scope.models(Release.model))
    if model:
        query = query.where(Release.model == model)
    if before:
        query = query.where(col(Release.id) < before)
    with state.store.read() as tx:
        rows = list(tx.exec(query).all())
        shown = rows[: LIMITS.rows_max]
        indexes = [row.index_sha256 for row in shown]
        runs_on = running.counts(tx, indexes)
        variants: dict[int, list[Variant]] = {}
        for variant in tx.exec(
            select(Variant)
            .where(col(Variant.release_id).in_([row.id for row in shown]))
            .order_by(col(Variant.release_id), col(Variant.position))
        ):
            variants.setdefault(variant.release_id, []).append(variant)
        rollouts: dict[str, RolloutRow] = {
            row.index_sha256: row
            for row in tx.exec(
                select(RolloutRow)
                .where(col(RolloutRow.index_sha256).in_(indexes))
                .order_by(col(RolloutRow.id))
            )
        }
    return page(
        request,
        "releases.html",
        api="/api/v1/releases",
        releases=shown,
        running=runs_on,
        variants=variants,
        rollouts=rollouts,
        model=model,
        more=shown[-1].id if len(rows) > LIMITS.rows_max else None,
    )
