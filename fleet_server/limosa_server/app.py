"""Puts the web application together."""

from __future__ import annotations

from fastapi import FastAPI

from limosa_server.api.problems import PROBLEMS, register
from limosa_server.api.routers import ROUTERS
from limosa_server.pages.routers import PAGE_ROUTERS
from limosa_server.reports.joined import JoinedIngest
from limosa_server.state import ServerState


def create_app(state: ServerState) -> FastAPI:
    """The application over `state`; it starts nothing by itself."""
    app = FastAPI(
        title="Limosa fleet server",
        description="Devices, groups, releases and rollouts. Errors are problem+json with a code and a hint.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        responses=PROBLEMS,
        redirect_slashes=False,
    )
    app.state.server = state
    app.state.reports = JoinedIngest(state)
    register(app)
    for router in (*ROUTERS, *PAGE_ROUTERS):
        app.include_router(router)
    return app
