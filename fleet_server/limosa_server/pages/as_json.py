"""The pages' resources in JSON for whoever is signed in here; programs use `/api/v1` with a token."""

from __future__ import annotations

from typing import Final

from fastapi import Response
from fastapi.responses import JSONResponse

from limosa_server.access.scope import GROUP, TEAM
from limosa_server.api import alerts, devices, releases, rollouts
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.fleet.inventory import DeviceFilter
from limosa_server.pages.guard import SignedIn, page_router

router = page_router()
ROWS: Final = 100


@router.get("/json/rollouts")
@scoped(TEAM, GROUP)
def rollout_list(state: State, who: SignedIn) -> Response:
    return JSONResponse(rollouts.list_rollouts(state, who.caller, limit=ROWS))


@router.get("/json/rollouts/{rollout_id}")
def one_rollout(state: State, who: SignedIn, rollout_id: int) -> Response:
    return JSONResponse(rollouts.show(rollout_id, state, who.caller, Response()))


@router.get("/json/devices")
@scoped(TEAM, GROUP)
def device_list(state: State, who: SignedIn) -> Response:
    return JSONResponse(devices.list_devices(state, who.caller, DeviceFilter(), limit=ROWS))


@router.get("/json/devices/{device:path}")
@scoped(TEAM)
def one_device(state: State, who: SignedIn, device: str) -> Response:
    return JSONResponse(devices.show(device, state, who.caller))


@router.get("/json/releases")
@scoped(TEAM, GROUP)
def release_list(state: State, who: SignedIn) -> Response:
    return JSONResponse(releases.list_releases(state, who.caller, limit=ROWS))


@router.get("/json/releases/{team}/{model}/{version}")
def one_release(state: State, who: SignedIn, team: str, model: str, version: str) -> Response:
    who.caller.scope.check_team(team)
    return JSONResponse(releases.show(team, model, version, state, who.caller))


@router.get("/json/alerts")
def alert_list(state: State, who: SignedIn) -> Response:
    return JSONResponse(alerts.list_alerts(state, who.caller, status="open", limit=ROWS))
