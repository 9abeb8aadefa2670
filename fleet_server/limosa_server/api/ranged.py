"""Bytes that a device may ask for in pieces: Range, If-Range, ETag and HEAD in one place (server 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from limosa_server.api.conditional import not_modified
from limosa_server.api.ranges import parse_range


def ranged(
    request: Request,
    *,
    sha256: str,
    size: int,
    media_type: str,
    headers: Mapping[str, str],
    stream: Callable[[int, int], Iterator[bytes]],
    location: str | None = None,
) -> Response:
    """200, 206 or 304 of `size` bytes; `stream(first, length)` is called only where bytes are sent.

    With `location` nginx sends the file that it has there, and answers ranges of it itself.

    Raises what `parse_range` does for a range that cannot be served.
    """
    etag = f'"sha256:{sha256}"'
    said = {**headers, "ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private"}
    if not_modified(request, etag):
        return Response(status_code=304, headers=said)
    if location is not None and request.method == "GET":
        handed = {**headers, "Cache-Control": "private", "X-Accel-Redirect": location}
        return Response(headers=handed, media_type=media_type)
    wanted = request.headers.get("range", "")
    if request.headers.get("if-range", etag) != etag:
        wanted = ""
    span = parse_range(wanted, size)
    first, last = span or (0, size - 1)
    said["Content-Length"] = str(last - first + 1)
    if span:
        said["Content-Range"] = f"bytes {first}-{last}/{size}"
    status = 206 if span else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=said, media_type=media_type)
    body = stream(first, last - first + 1)
    return StreamingResponse(body, status_code=status, headers=said, media_type=media_type)
