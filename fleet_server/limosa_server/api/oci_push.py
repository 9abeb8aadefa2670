"""OCI distribution: push, monolithic and in chunks; a blob is there when its digest is proven (server 5)."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from limosa_contracts.errors import DigestMismatch, InvalidField
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import DIGEST
from limosa_contracts.oci import digest_of
from limosa_server.access import audit
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Caller, Publisher
from limosa_server.api.bodies import read_body
from limosa_server.api.oci_pull import Model, Reference, Team
from limosa_server.api.routing import Router
from limosa_server.api.state import State
from limosa_server.errors import RangeNotSatisfiable
from limosa_server.registry import registry_rows
from limosa_server.state import ServerState

router = Router(route_class=AnswerRoute, prefix="/v2", tags=["registry"])
TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
WRITE_BYTES: Final = 1024 * 1024  # chunks of the network are gathered up to this before they are written
DigestQuery = Annotated[str, Query(pattern=f"^{DIGEST.pattern}$")]
UPLOAD = "/{team}/{model}/blobs/uploads/{upload}"


def team_publisher(team: Team, caller: Publisher) -> Caller:
    """A publisher who is not bound to another team. Raises NotAuthorised."""
    caller.needs_team(team)
    return caller


TeamPublisher = Annotated[Caller, Depends(team_publisher)]


@router.post("/{team}/{model}/blobs/uploads/", status_code=202, response_class=Response)
@router.post("/{team}/{model}/blobs/uploads", status_code=202, include_in_schema=False)
async def begin(
    request: Request,
    team: Team,
    model: Model,
    state: State,
    caller: TeamPublisher,
    digest: Annotated[str, Query(max_length=80)] = "",
) -> Response:
    """Begins an upload; with `digest` the body is the whole blob. A mount from elsewhere is not made:
    the answer then asks for an upload, as the protocol allows."""
    upload = await run_in_threadpool(state.blobs.begin)
    if not digest:
        return _accepted(team, model, upload.id, 0)
    _check_digest(digest)
    await _stream(request, state, upload.id)
    return await run_in_threadpool(_finish, state, f"{team}/{model}", upload.id, digest)


@router.patch(UPLOAD, status_code=202, response_class=Response)
async def append(
    request: Request, team: Team, model: Model, upload: str, state: State, caller: TeamPublisher
) -> Response:
    """The next chunk; `Content-Range`, if given, must begin where the upload stands."""
    size = state.blobs.upload(upload).size
    start = request.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0].strip()
    if start and start != str(size):
        raise RangeNotSatisfiable(
            "the chunk does not begin where the upload ends", where="Content-Range", why=str(size)
        )
    return _accepted(team, model, upload, await _stream(request, state, upload))


@router.put(UPLOAD, status_code=201, response_class=Response)
async def finish(
    request: Request,
    team: Team,
    model: Model,
    upload: str,
    digest: DigestQuery,
    state: State,
    caller: TeamPublisher,
) -> Response:
    """The rest of the blob, if any, and its digest."""
    state.blobs.upload(upload)
    await _stream(request, state, upload)
    return await run_in_threadpool(_finish, state, f"{team}/{model}", upload, digest)


@router.get(UPLOAD, status_code=204, response_class=Response)
def status(team: Team, model: Model, upload: str, state: State, caller: TeamPublisher) -> Response:
    """How far an upload is."""
    response = _accepted(team, model, upload, state.blobs.upload(upload).size)
    response.status_code = 204
    return response


@router.delete(UPLOAD, status_code=204, response_class=Response)
def cancel(team: Team, model: Model, upload: str, state: State, caller: TeamPublisher) -> Response:
    """Gives an upload up."""
    state.blobs.cancel(upload)
    return Response(status_code=204)


@router.put("/{team}/{model}/manifests/{reference}", status_code=201, response_class=Response)
async def put_manifest(
    request: Request, team: Team, model: Model, reference: Reference, state: State, caller: TeamPublisher
) -> Response:
    """A manifest or index whose blobs were pushed before, under a tag or its digest."""
    data = await read_body(request, max_bytes=LIMITS.manifest_max_bytes)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip()
    return await run_in_threadpool(
        _put_manifest, state, caller, f"{team}/{model}", reference, data, media_type
    )


def _put_manifest(
    state: ServerState, caller: Caller, repository: str, reference: str, data: bytes, media_type: str
) -> Response:
    digest = digest_of(data)
    is_digest = ":" in reference
    if is_digest and reference != digest:
        raise DigestMismatch("the manifest has another digest", where="reference", why=digest)
    if not is_digest and not TAG.fullmatch(reference):
        raise InvalidField("not a tag", where="reference", why=reference[:100])
    referred = registry_rows.referred(data, media_type)
    now = state.clock()
    sha256 = state.blobs.add(data)
    with state.store.transaction() as tx:
        registry_rows.check_referred(tx, repository, referred)
        registry_rows.add(tx, repository, sha256, size=len(data), now=now, media_type=media_type)
        if not is_digest:
            registry_rows.tag(tx, repository, reference, sha256, now=now)
            audit.record(
                tx, at=now, actor=caller.actor, action="registry.tag",
                object=f"repository {repository}:{reference}", after={"digest": digest},
            )  # fmt: skip
    headers = {"Location": f"/v2/{repository}/manifests/{digest}", "Docker-Content-Digest": digest}
    return Response(status_code=201, headers=headers)


async def _stream(request: Request, state: ServerState, upload: str) -> int:
    """Bytes the upload has now; never more than one write's worth in memory."""
    pending = bytearray()
    size = state.blobs.upload(upload).size
    async for chunk in request.stream():
        pending += chunk
        if len(pending) >= WRITE_BYTES:
            size = await run_in_threadpool(state.blobs.append, upload, bytes(pending))
            pending.clear()
    if pending:
        size = await run_in_threadpool(state.blobs.append, upload, bytes(pending))
    return size


def _finish(state: ServerState, repository: str, upload: str, digest: str) -> Response:
    sha256 = digest.removeprefix("sha256:")
    size = state.blobs.finish(upload, sha256=sha256)
    with state.store.transaction() as tx:
        registry_rows.add(tx, repository, sha256, size=size, now=state.clock())
    headers = {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest}
    return Response(status_code=201, headers=headers)


def _accepted(team: str, model: str, upload: str, size: int) -> Response:
    headers = {
        "Location": f"/v2/{team}/{model}/blobs/uploads/{upload}",
        "Range": f"0-{max(0, size - 1)}",
        "Docker-Upload-UUID": upload,
    }
    return Response(status_code=202, headers=headers)


def _check_digest(digest: str) -> None:
    if not DIGEST.fullmatch(digest):
        raise InvalidField("not a digest", where="digest", why=digest[:100])
