"""The first page: what is wrong, what is under way, what runs where, what was last reported."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request, Response
from sqlalchemy import func
from sqlmodel import col, select

from limosa_server.access.scope import GROUP, TEAM
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.core.device_state import DeviceState, none_standing, standing
from limosa_server.core.rollout import RolloutStatus
from limosa_server.pages import rollout_rows
from limosa_server.pages.attention import concerns
from limosa_server.pages.device_rows import events
from limosa_server.pages.expiring import with_expiries
from limosa_server.pages.guard import SignedIn, page_router
from limosa_server.pages.limits import LIMITS
from limosa_server.pages.render import page
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device, DeviceModel
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import RolloutRow

router = page_router()
_ACTIVE = tuple(status.value for status in RolloutStatus if not status.terminal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """How many devices run one version; `coming`: how many are on their way to it. "" is none at all."""

    version: str
    stage: str
    devices: int
    coming: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    online: int = 0
    offline: int = 0
    revoked: int = 0
    decommissioned: int = 0

    @property
    def active(self) -> int:
        return self.online + self.offline


@router.get("/")
@scoped(TEAM, GROUP)
def overview(request: Request, state: State, who: SignedIn) -> Response:
    """Of the whole fleet: who is bound to a part of it begins at the rollouts of that part."""
    if who.caller.scope.bound:
        return Response(status_code=303, headers={"Location": "/rollouts"})
    now = state.clock()
    with state.store.read() as tx:
        active, ended = _rollouts(tx)
        found = concerns(tx, broker_down_since=state.broker.down_since(), now=now)
        return page(
            request,
            "overview.html",
            api="/api/v1/rollouts",
            concerns=with_expiries(state, found, now=now),
            active=rollout_rows.views(tx, active, now=now),
            ended=rollout_rows.views(tx, ended, now=now),
            presence=_presence(tx),
            fleet=_fleet(tx),
            events=events(tx, limit=LIMITS.events_shown),
        )


def _rollouts(tx: Transaction) -> tuple[list[RolloutRow], list[RolloutRow]]:
    """(under way, the last that ended)."""
    newest = select(RolloutRow).order_by(col(RolloutRow.id).desc())
    under_way = col(RolloutRow.status).in_(_ACTIVE)
    active = tx.exec(newest.where(under_way).limit(LIMITS.rows_max)).all()
    ended = tx.exec(newest.where(~under_way).limit(LIMITS.ended_shown)).all()
    return list(active), list(ended)


def _presence(tx: Transaction) -> Presence:
    counts = none_standing()
    for state, online, count in tx.exec(
        select(Device.state, Device.online, func.count()).group_by(col(Device.state), col(Device.online))
    ):
        counts[standing(state, online)] += count
    return Presence(**counts)


def _fleet(tx: Transaction) -> dict[str, list[Running]]:
    """Versions by model, those on most devices first."""
    stages = {
        (model, version): stage
        for model, version, stage in tx.exec(select(Release.model, Release.version, Release.stage))
    }
    runs = _count(tx, DeviceModel.active_version)
    comes = _count(tx, DeviceModel.candidate_version)
    comes = {key: count for key, count in comes.items() if key[1]}
    fleet: dict[str, list[Running]] = {}
    for model, version in sorted(runs.keys() | comes.keys()):
        fleet.setdefault(model, []).append(
            Running(
                version=version,
                stage=stages.get((model, version), ""),
                devices=runs.get((model, version), 0),
                coming=comes.get((model, version), 0),
            )
        )
    return {model: sorted(found, key=lambda one: -one.devices) for model, found in fleet.items()}


def _count(tx: Transaction, version: str) -> dict[tuple[str, str], int]:
    """Devices of the fleet by (model, version in that column)."""
    return {
        (model, found): count
        for model, found, count in tx.exec(
            select(DeviceModel.model, version, func.count())
            .join(Device, col(Device.id) == col(DeviceModel.device))
            .where(Device.state == DeviceState.ACTIVE)
            .group_by(col(DeviceModel.model), version)
        )
    }
