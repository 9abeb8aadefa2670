"""Every page's router, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter

from limosa_server.pages import (
    actions,
    alerts,
    as_json,
    assets,
    device_actions,
    devices,
    live,
    overview,
    release,
    releases,
    rollout_plan,
    rollouts,
    sign_in,
)

PAGE_ROUTERS: Final[Sequence[APIRouter]] = (
    assets.router,
    sign_in.router,
    live.router,
    overview.router,
    rollout_plan.router,
    rollouts.router,
    actions.router,
    device_actions.router,
    devices.router,
    releases.router,
    release.router,
    alerts.router,
    as_json.router,
)
