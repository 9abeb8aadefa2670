"""One release: who runs it, what production asks of it, what it came from, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import Request, Response
from sqlmodel import col, select

from limosa_contracts.errors import NotFound
from limosa_contracts.json_value import JsonObject
from limosa_server.api import release_stages
from limosa_server.api.release_stages import release_name
from limosa_server.api.state import State
from limosa_server.pages.guard import OperatorForm, SignedIn, page_router
from limosa_server.pages.limits import LIMITS
from limosa_server.pages.render import page, path_part
from limosa_server.registry import evidence, lineage, promotion, release_rows, running
from limosa_server.tables.releases import Variant

router = page_router()
ACTIONS: Final[Mapping[str, tuple[Callable[..., Any], JsonObject]]] = {
    "promote": (release_stages.promote, {}),
    "archive": (release_stages.archive, {}),
    "restore": (release_stages.restore, {}),
    "retract": (release_stages.retract, {}),
    "retract-rollback": (release_stages.retract, {"rollback": True}),
}


@router.get("/releases/{team}/{model}/{version}")
def show(request: Request, state: State, who: SignedIn, team: str, model: str, version: str) -> Response:
    name = release_name(team, model, version)
    who.caller.scope.check_team(team)
    with state.store.read() as tx:
        row = release_rows.find(tx, name)
        variants = tx.exec(
            select(Variant).where(Variant.release_id == row.id).order_by(col(Variant.position))
        ).all()
        story: Any = lineage.lineage(tx, state.blobs, row, who.caller.scope)
        return page(
            request,
            "release.html",
            api=f"/api/v1/releases/{team}/{model}/{path_part(version)}",
            row=row,
            variants=variants,
            devices=running.counts(tx, [row.index_sha256]).get(row.index_sha256, 0),
            named=running.devices_running(
                tx, row.index_sha256, scope=who.caller.scope, limit=LIMITS.rows_max
            ),
            gate=promotion.gate(tx, state.blobs, row, at=state.clock()) if row.stage == "staging" else (),
            story=story,
            steps=release_rows.steps(tx, row),
            evidence=evidence.of_release(tx, state.blobs, row),
        )


@router.post("/releases/{team}/{model}/{version}/{action}")
def act(
    state: State, who: SignedIn, fields: OperatorForm, team: str, model: str, version: str, action: str
) -> Response:
    if action not in ACTIONS:
        raise NotFound("there is no such action", where=action[:40])
    carry_out, body = ACTIONS[action]
    who.caller.scope.check_team(team)
    who.caller.scope.check_group("")
    carry_out(team, model, version, {**body, "reason": fields.get("reason", "")}, state, who.caller)
    return Response(status_code=303, headers={"Location": f"/releases/{team}/{model}/{path_part(version)}"})
