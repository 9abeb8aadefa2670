"""Every router of the application, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter

from limosa_server.api import health

ROUTERS: Final[Sequence[APIRouter]] = (health.router,)
