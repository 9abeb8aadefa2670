"""The list of rollouts, and the ladder of one."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final

from fastapi import Query, Request, Response
from sqlmodel import col, select

from limosa_contracts.phases import Execution
from limosa_contracts.rollout.modes import Mode
from limosa_server.access.scope import GROUP, TEAM
from limosa_server.api.rollouts import find
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.core.counts import Counts
from limosa_server.core.rollout import RolloutStatus
from limosa_server.pages import rollout_rows
from limosa_server.pages.guard import SignedIn, page_router
from limosa_server.pages.limits import LIMITS
from limosa_server.pages.render import page
from limosa_server.pages.words import EXECUTION
from limosa_server.rollouts import modes_report
from limosa_server.rollouts.outer_facts import votes
from limosa_server.rollouts.waiting_for import waits_for
from limosa_server.store import Transaction
from limosa_server.tables.rollouts import RolloutRow

router = page_router()
REPORT_DEVICES_MAX: Final = 5000  # of a comparison; above, its report takes seconds and has its own command
SHOW: Final[dict[str, tuple[RolloutStatus, ...]]] = {
    "": (),
    "active": tuple(status for status in RolloutStatus if not status.terminal),
    "stopped": (
        RolloutStatus.PAUSED,
        RolloutStatus.ROLLING_BACK,
        RolloutStatus.ROLLED_BACK,
        RolloutStatus.ROLLBACK_INCOMPLETE,
        RolloutStatus.FAILED,
        RolloutStatus.INVALID,
    ),
    "completed": (RolloutStatus.COMPLETED,),
}


@router.get("/rollouts")
@scoped(TEAM, GROUP)
def list_rollouts(
    request: Request,
    state: State,
    who: SignedIn,
    show: Annotated[str, Query(max_length=16)] = "",
    model: Annotated[str, Query(max_length=129)] = "",
    before: Annotated[int, Query(ge=0, lt=2**63)] = 0,
) -> Response:
    query = select(RolloutRow).order_by(col(RolloutRow.id).desc()).limit(LIMITS.rows_max + 1)
    query = query.where(who.caller.scope.rollouts(RolloutRow.model, RolloutRow.target))
    if before:
        query = query.where(col(RolloutRow.id) < before)
    if wanted := SHOW.get(show, ()):
        query = query.where(col(RolloutRow.status).in_([status.value for status in wanted]))
    if model:
        query = query.where(RolloutRow.model == model)
    with state.store.read() as tx:
        rows = tx.exec(query).all()
        views = rollout_rows.views(tx, rows[: LIMITS.rows_max], now=state.clock())
    more = rows[LIMITS.rows_max - 1].id if len(rows) > LIMITS.rows_max else None
    return page(
        request,
        "rollouts.html",
        api="/api/v1/rollouts",
        views=views,
        show=show if show in SHOW else "",
        model=model,
        more=more,
    )


@router.get("/rollouts/{rollout_id}")
def show_rollout(
    request: Request,
    state: State,
    who: SignedIn,
    rollout_id: int,
    only: Annotated[str, Query(alias="state", max_length=32)] = "",
    wave: Annotated[int | None, Query(ge=0, le=1000)] = None,
    after: Annotated[str, Query(max_length=128)] = "",
) -> Response:
    only = only if only in EXECUTION or only in ("all", "unreachable") else ""
    with state.store.read() as tx:
        row = find(tx, rollout_id)
        view = rollout_rows.views(tx, [row], now=state.clock())[0]
        if view.rollout.spec.approval is not None:
            view = replace(view, votes=votes(tx, rollout_id))
        runs, more = rollout_rows.executions(tx, rollout_id, state=only, wave=wave, after=after)
        decisions = rollout_rows.decisions(tx, rollout_id)
        newer = _newer(tx, row)
        missed = waits_for(tx, row, [rung.wave for rung in view.ladder])
        finding = rollout_rows.finding(tx, rollout_id)
        holds = view.rollout.spec.mode is not Mode.REPLACE
        shown = holds and (view.total <= REPORT_DEVICES_MAX or view.rollout.spec.mode is Mode.SHADOW)
        report = modes_report.report_of(tx, row, now=state.clock()) if shown else None
    return page(
        request,
        "rollout.html",
        api=f"/api/v1/rollouts/{rollout_id}",
        view=view,
        runs=runs,
        more=more,
        only=only,
        wave=wave,
        states=_states(view, wave),
        decisions=decisions,
        newer=newer,
        missed=missed,
        way_back=rollout_rows.way_back(view),
        finding=finding,
        report=report,
        holds=holds,
    )


def _states(view: rollout_rows.RolloutView, wave: int | None) -> list[tuple[str, int]]:
    """(state, devices) for the filters, trouble first; those without devices are left out."""
    chosen = [rung for rung in view.ladder if wave is None or rung.wave.index == wave]
    counts = sum((rung.wave.counts for rung in chosen), Counts())
    found = [(name, counts.of(Execution(name))) for name in EXECUTION]
    away = sum(rung.away for rung in chosen)
    return [(name, count) for name, count in [*found, ("unreachable", away)] if count]


def _newer(tx: Transaction, row: RolloutRow) -> RolloutRow | None:
    """A rollout of the same model that came later: what happens here may be of the past."""
    return tx.exec(
        select(RolloutRow)
        .where(RolloutRow.model == row.model, col(RolloutRow.id) > row.id)
        .order_by(col(RolloutRow.id).desc())
        .limit(1)
    ).first()
