"""`?from=` of a blob: what it is, given another blob of the same repository (server 5, compiler 7)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from limosa_contracts.delta.wire import MEDIA_TYPE
from limosa_server.api.handing_over import delta_location
from limosa_server.api.ranged import ranged
from limosa_server.errors import DeltaNotReady, NoDelta
from limosa_server.registry import registry_rows
from limosa_server.registry.blobs import stream_file
from limosa_server.registry.deltas import Delta
from limosa_server.state import ServerState

BASE_HEADER = "Limosa-Delta-Base"


async def delta_response(
    request: Request, state: ServerState, *, repository: str, digest: str, base: str
) -> Response:
    """The delta, or a range of it. Raises BlobUnknown, NoDelta, DeltaNotReady.

    Whoever may read a repository's blobs may read what differs between two of them; a base that the
    repository does not have is answered like one that does not help, so nothing is told of others.
    """
    sha256, base_sha256 = digest.removeprefix("sha256:"), base.removeprefix("sha256:")
    whole = await run_in_threadpool(_check_both, state, repository, sha256, base_sha256)
    delta = await _delta(state, base_sha256, sha256)
    return await run_in_threadpool(_send, request, state, delta, base=base, whole=whole)


def _check_both(state: ServerState, repository: str, sha256: str, base_sha256: str) -> int:
    """Bytes of the blob itself."""
    with state.store.read() as tx:
        row = registry_rows.find(tx, repository, sha256)
        if registry_rows.has(tx, repository, base_sha256) is None or sha256 == base_sha256:
            raise _no_delta(repository)
        return row.size


async def _delta(state: ServerState, base: str, new: str) -> Delta:
    ready = await run_in_threadpool(state.deltas.find, base, new)
    if ready is not None:
        return ready
    future = await run_in_threadpool(state.deltas.make, base, new)
    if future is None:
        raise _no_delta(new)
    try:
        made = await asyncio.wait_for(
            asyncio.shield(asyncio.wrap_future(future)), state.deltas.settings.wait_s
        )
    except TimeoutError as error:
        raise DeltaNotReady("the delta is being made", where=new) from error
    except asyncio.CancelledError as error:
        if future.cancelled():  # the server stops; else the request itself is cancelled
            raise _no_delta(new) from error
        raise
    if made is None:
        raise _no_delta(new)
    return made


def _no_delta(where: str) -> NoDelta:
    return NoDelta("there is no delta that pays between these two", where=where)


def _send(request: Request, state: ServerState, delta: Delta, *, base: str, whole: int) -> Response:
    def stream(first: int, length: int) -> Iterator[bytes]:
        if first == 0:
            state.metrics.delta_bytes_saved.inc(whole - delta.size)
        return stream_file(delta.path, start=first, length=length)

    return ranged(
        request,
        sha256=delta.sha256,
        size=delta.size,
        media_type=MEDIA_TYPE,
        headers={BASE_HEADER: base},
        stream=stream,
        location=delta_location(state, delta.path),
    )
