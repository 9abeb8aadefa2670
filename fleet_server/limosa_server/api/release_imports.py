"""`/api/v1/teams/{team}/import`: a release that another server has, as its team signed it."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import SHA256_HEX, ReleaseName
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Caller, Publisher
from limosa_server.api.bodies import json_schema, parsed, read_body
from limosa_server.api.oci_pull import Team
from limosa_server.api.releases import release_json
from limosa_server.api.routing import Router
from limosa_server.api.state import State
from limosa_server.api.tuf import metadata_files
from limosa_server.registry import importing
from limosa_server.state import ServerState

router = Router(route_class=AnswerRoute, prefix="/api/v1/teams", tags=["releases"])
SOURCE_MAX: Final = 200
_IMPORT = json_schema(
    {
        "release": {"type": "string"},
        "index_sha256": {"type": "string"},
        "from": {"type": "string", "maxLength": SOURCE_MAX},
        "metadata": {"type": "object", "additionalProperties": {"type": "object"}},
    },
    required=["release", "index_sha256", "metadata"],
)


@router.post("/{team}/import", openapi_extra=_IMPORT)
async def take(request: Request, team: Team, state: State, caller: Publisher) -> dict[str, JsonValue]:
    """Registers one release whose blobs were pushed before, under its team's metadata from elsewhere.
    What else that metadata lists stays unknown here; other bytes under the same name are refused."""
    caller.needs_team(team)
    data = await read_body(request, max_bytes=state.settings.limits.metadata_max_bytes)
    return await run_in_threadpool(_take, state, caller, team, data)


def _take(state: ServerState, caller: Caller, team: str, data: bytes) -> dict[str, JsonValue]:
    fields = Fields(parsed(data, max_bytes=state.settings.limits.metadata_max_bytes), where="import")
    name = ReleaseName.parse(fields.text("release", max_chars=200))
    if name.name.team != team:
        raise InvalidField("the release is another team's", where="import.release", why=str(name))
    wanted = importing.Wanted(name=name, index_sha256=fields.text("index_sha256", pattern=SHA256_HEX))
    offered = metadata_files(fields.object("metadata"))
    source = fields.optional("from", lambda n: fields.text(n, max_chars=SOURCE_MAX), "another server")
    fields.refuse_rest()
    row = importing.take(state, team, offered, wanted, actor=caller.actor, source=source)
    with state.store.read() as tx:
        return release_json(tx, row)
