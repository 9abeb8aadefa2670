"""Every page's router, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter

from limosa_server.pages import (
    actions,
    as_json,
    assets,
    device_actions,
    devices,
    live,
    overview,
    releases,
    rollouts,
    sign_in,
)

PAGE_ROUTERS: Final[Sequence[APIRouter]] = (
    assets.router,
    sign_in.router,
    live.router,
    overview.router,
    rollouts.router,
    actions.router,
    device_actions.router,
    devices.router,
    releases.router,
    as_json.router,
)
