"""How an endpoint gets the server's state: `def endpoint(state: State)`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from limosa_server.reports.joined import JoinedIngest
from limosa_server.state import ServerState


def server_state(request: Request) -> ServerState:
    state = request.app.state.server
    assert isinstance(state, ServerState)
    return state


def joined_ingest(request: Request) -> JoinedIngest:
    reports = request.app.state.reports
    assert isinstance(reports, JoinedIngest)
    return reports


State = Annotated[ServerState, Depends(server_state)]
Reports = Annotated[JoinedIngest, Depends(joined_ingest)]
