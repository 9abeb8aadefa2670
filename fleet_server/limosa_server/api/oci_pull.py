"""OCI distribution: pull. Blobs with Range and ETag, so that a device resumes (server 5)."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from limosa_contracts.errors import InvalidField, NotFound
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import DIGEST, NAME
from limosa_server.access.roles import Role
from limosa_server.access.scope import GROUP, TEAM
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Caller, DeviceCaller, Reader
from limosa_server.api.conditional import not_modified
from limosa_server.api.handing_over import blob_location
from limosa_server.api.oci_delta import delta_response
from limosa_server.api.ranged import ranged
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.registry import registry_rows
from limosa_server.state import ServerState
from limosa_server.tables.releases import RepositoryBlob

router = Router(route_class=AnswerRoute, prefix="/v2", tags=["registry"])
OCTETS = "application/octet-stream"
Team = Annotated[str, Path(pattern=f"^{NAME.pattern}$")]
Model = Annotated[str, Path(pattern=f"^{NAME.pattern}$")]
Digest = Annotated[str, Path(pattern=f"^{DIGEST.pattern}$")]
Reference = Annotated[str, Path(max_length=128)]
INERT: Final = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
"""What publishers pushed, such as a report in HTML, never runs as a page of this server."""
BINARY: dict[int | str, dict[str, Any]] = {
    200: {"content": {OCTETS: {}}},
    206: {"description": "A range"},
    304: {"description": "Not modified"},
}


@router.get("/")
@router.get("", include_in_schema=False)
@scoped(TEAM, GROUP)
def root(caller: Reader) -> dict[str, JsonValue]:
    """The protocol's greeting: who gets it may go on."""
    return {}


@router.get("/{team}/{model}/blobs/{digest}", response_class=Response, responses=BINARY)
@router.head("/{team}/{model}/blobs/{digest}", response_class=Response, responses=BINARY)
@scoped(GROUP)
async def blob(
    request: Request,
    team: Team,
    model: Model,
    digest: Digest,
    state: State,
    caller: Reader,
    base: Annotated[str | None, Query(alias="from", pattern=f"^{DIGEST.pattern}$")] = None,
) -> Response:
    """A blob, or the range of it that was asked for; with `from`, the delta from that blob to it."""
    repository = f"{team}/{model}"
    if base is not None:
        return await delta_response(request, state, repository=repository, digest=digest, base=base)
    return await run_in_threadpool(_blob, request, state, caller, repository=repository, digest=digest)


def _blob(
    request: Request, state: ServerState, caller: Caller | DeviceCaller, *, repository: str, digest: str
) -> Response:
    sha256 = digest.removeprefix("sha256:")
    with state.store.read() as tx:
        row = registry_rows.find(tx, repository, sha256)
    if request.method == "HEAD":
        _keep_for_push(state, caller, row)
    return ranged(
        request,
        sha256=sha256,
        size=row.size,
        media_type=OCTETS,
        headers={**INERT, "Content-Disposition": "attachment", "Docker-Content-Digest": digest},
        stream=lambda first, length: state.blobs.stream(sha256, start=first, length=length),
        location=blob_location(state, sha256),
    )


def _keep_for_push(state: ServerState, caller: Caller | DeviceCaller, row: RepositoryBlob) -> None:
    """Who may push asks first, and does not send what is here: it must not be collected meanwhile."""
    now = state.clock()
    if isinstance(caller, DeviceCaller) or not caller.may(Role.PUBLISHER):
        return
    if now - row.pushed_at > state.settings.registry.touch_every_s:
        with state.store.transaction() as tx:
            registry_rows.touch(tx, row.repository, row.sha256, now=now)


@router.get("/{team}/{model}/manifests/{reference}", response_class=Response, responses=BINARY)
@router.head("/{team}/{model}/manifests/{reference}", response_class=Response, responses=BINARY)
@scoped(GROUP)
def manifest(
    request: Request, team: Team, model: Model, reference: Reference, state: State, caller: Reader
) -> Response:
    """A manifest or image index, by digest or tag."""
    if reference.startswith("sha256:") and not DIGEST.fullmatch(reference):
        raise InvalidField("not a digest", where="reference", why=reference[:100])
    with state.store.read() as tx:
        row = registry_rows.by_reference(tx, f"{team}/{model}", reference)
    if not row.media_type:
        raise NotFound("this blob is not a manifest", where=reference)
    digest = f"sha256:{row.sha256}"
    headers = {
        **INERT,
        "ETag": f'"{digest}"',
        "Docker-Content-Digest": digest,
        "Content-Length": str(row.size),
    }
    if not_modified(request, headers["ETag"]):
        return Response(status_code=304, headers={"ETag": headers["ETag"]})
    body = b"" if request.method == "HEAD" else state.blobs.read(row.sha256)
    return Response(body, headers=headers, media_type=row.media_type)


@router.get("/{team}/{model}/tags/list")
@scoped(GROUP)
def list_tags(
    team: Team,
    model: Model,
    state: State,
    caller: Reader,
    n: Annotated[int, Query(ge=1, le=LIMITS.page_size_max)] = LIMITS.page_size_max,
    last: Annotated[str, Query(max_length=128)] = "",
) -> dict[str, JsonValue]:
    """Tags in order, after `last`."""
    repository = f"{team}/{model}"
    with state.store.read() as tx:
        if not registry_rows.known_repository(tx, repository):
            raise NotFound("there is no such repository", where=repository)
        return {"name": repository, "tags": list(registry_rows.tags(tx, repository, after=last, limit=n))}
