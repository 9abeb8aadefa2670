"""`/tuf`: metadata and targets for every TUF client; `/api/v1/teams`: how a team publishes (trust 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Path, Request, Response
from sqlmodel import select
from starlette.concurrency import run_in_threadpool

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.errors import InvalidField, NotFound
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import NAME
from limosa_server.access.scope import GROUP
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Caller, Publisher, Viewer
from limosa_server.api.bodies import json_schema, parsed, read_body
from limosa_server.api.conditional import check_if_match, not_modified
from limosa_server.api.oci_pull import Model, Team
from limosa_server.api.releases import release_json
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.registry import publishing, registry_rows
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.releases import Release, TufRole

router = Router(route_class=AnswerRoute, tags=["tuf"])
JSON = "application/json"
RoleName = Annotated[str, Path(pattern=f"^{NAME.pattern}$", max_length=128)]
FileName = Annotated[str, Path(max_length=200)]


@router.get("/tuf/metadata/{name}", response_class=Response)
@router.head("/tuf/metadata/{name}", response_class=Response, include_in_schema=False)
def metadata(name: FileName, state: State) -> Response:
    """A metadata file; public, as it is signed. Only the timestamp ever changes under its name."""
    data = state.tuf.file(name)
    if data is None:
        raise NotFound("there is no such metadata", where=name)
    lasting = "no-cache" if name == "timestamp.json" else "public, max-age=31536000, immutable"
    return Response(data, media_type=JSON, headers={"Cache-Control": lasting})


@router.get("/tuf/targets/limosa/{name}", response_class=Response)
def director(name: FileName, state: State) -> Response:
    """The director's public key, by its digest."""
    data = state.tuf.director_target(name)
    if data is None:
        raise NotFound("there is no such target", where=name)
    return Response(data, media_type=JSON)


@router.get("/tuf/targets/{team}/{model}/{version}/{name}", response_class=Response)
def release_target(team: Team, model: Model, version: str, name: FileName, state: State) -> Response:
    """The image index of a release, by its digest: `<sha256>.index.json`."""
    sha256 = name.removesuffix(".index.json")
    with state.store.read() as tx:
        row = _release(tx, f"{team}/{model}", version)
        if row is None or row.index_sha256 != sha256:
            raise NotFound("there is no such target", where=f"{team}/{model}/{version}"[:200])
        registry_rows.find(tx, row.model, sha256)
    return Response(state.blobs.read(sha256), media_type=JSON)


@router.get("/api/v1/teams/{team}/metadata/{role}", response_class=Response)
@scoped(GROUP)
def current(request: Request, team: Team, role: RoleName, state: State, caller: Viewer) -> Response:
    """The current metadata of a role of the team; its ETag is its version."""
    with state.store.read() as tx:
        row = tx.get(TufRole, role)
    if row is None or row.team != team:
        raise NotFound("the team has no such role", where=role)
    etag = f'"{row.version}"'
    if not_modified(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    return Response(row.body, media_type=JSON, headers={"ETag": etag})


@router.put(
    "/api/v1/teams/{team}/metadata",
    openapi_extra=json_schema(
        {"metadata": {"type": "object", "additionalProperties": {"type": "object"}}}, required=["metadata"]
    ),
)
async def publish(request: Request, team: Team, state: State, caller: Publisher) -> dict[str, JsonValue]:
    """Signed roles of a team, whole files by name. `If-Match` is the version the publisher saw, of
    several roles the highest; 412 says that another publisher was first (trust 2.3)."""
    caller.needs_team(team)
    data = await read_body(request, max_bytes=state.settings.limits.metadata_max_bytes)
    return await run_in_threadpool(_publish, state, caller, request, team, data)


def _publish(
    state: ServerState, caller: Caller, request: Request, team: str, data: bytes
) -> dict[str, JsonValue]:
    body = Fields(parsed(data, max_bytes=state.settings.limits.metadata_max_bytes), where="publication")
    offered = metadata_files(body.object("metadata"))

    def precondition(tx: Transaction) -> None:
        versions = [row.version for role in offered if (row := tx.get(TufRole, role)) is not None]
        check_if_match(request, f'"{max(versions, default=0)}"')

    fresh = publishing.publish(state, team, offered, actor=caller.actor, precondition=precondition)
    with state.store.read() as tx:
        releases: list[JsonValue] = [release_json(tx, release) for release in fresh]
    return {"releases": releases}


def metadata_files(value: JsonObject) -> Mapping[str, bytes]:
    """Roles by name, from `{"<role>.json": {…}}`. Raises InvalidField."""
    offered: dict[str, bytes] = {}
    for name, document in value.items():
        role = name.removesuffix(".json")
        if role == name or not NAME.fullmatch(role) or not isinstance(document, Mapping):
            raise InvalidField("a file <role>.json with an object is needed", where=f"metadata.{name[:80]}")
        offered[role] = encode_canonical(document)
        if len(offered[role]) > LIMITS.tuf_metadata_max_bytes:
            raise InvalidField("a role's metadata is too large", where=f"metadata.{name}")
    if not offered:
        raise InvalidField("no metadata came", where="metadata")
    return offered


def _release(tx: Transaction, model: str, version: str) -> Release | None:
    return tx.exec(select(Release).where(Release.model == model, Release.version == version)).first()
