"""`/healthz` and `/metrics`."""

from __future__ import annotations

from fastapi import Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy import func
from sqlmodel import col, select

from limosa_server.api.answers import AnswerRoute
from limosa_server.api.routing import Router
from limosa_server.api.state import State
from limosa_server.core.device_state import none_standing, standing
from limosa_server.core.rollout import RolloutStatus
from limosa_server.state import ServerState
from limosa_server.tables.devices import Device
from limosa_server.tables.reports import OutboxRow
from limosa_server.tables.rollouts import RolloutRow
from limosa_server.trust import roots
from limosa_server.trust.expiries import expiries

router = Router(route_class=AnswerRoute, tags=["health"])


@router.get("/healthz")
def healthz(state: State) -> dict[str, str]:
    """Answers once the database does."""
    with state.store.read() as tx:
        tx.exec(select(1)).one()
    return {"status": "ok"}


@router.get("/metrics", response_class=Response)
def metrics(state: State) -> Response:
    """Prometheus text format."""
    with state.store.read() as tx:
        online = tx.exec(
            select(Device.state, Device.online, func.count()).group_by(col(Device.state), col(Device.online))
        ).all()
        waiting = tx.exec(select(func.count()).select_from(OutboxRow)).one()
        rollouts = dict(
            tx.exec(select(RolloutRow.status, func.count()).group_by(col(RolloutRow.status))).all()
        )
    counts = none_standing()
    for device_state, is_online, count in online:
        counts[standing(device_state, is_online)] += count
    for name, count in counts.items():
        state.metrics.devices.labels(state=name).set(count)
    state.metrics.outbox.set(waiting)
    now = state.clock()
    for one in expiries(state, now):
        state.metrics.expiry_seconds.labels(what=one.what, name=one.name).set(one.left_s(now))
    state.metrics.without_new_root.set(_without_new_root(state))
    for status in RolloutStatus:
        state.metrics.rollouts.labels(status=status.value).set(rollouts.get(status.value, 0))
    return Response(state.metrics.render(), media_type=CONTENT_TYPE_LATEST)


def _without_new_root(state: ServerState) -> int:
    if not roots.rotates(state.authority):
        return 0
    with state.store.read() as tx:
        return roots.count_missing(tx, roots.newest(state.authority))
