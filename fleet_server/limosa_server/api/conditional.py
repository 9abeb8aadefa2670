"""ETags: If-None-Match on reads, If-Match on changes (RFC 9110)."""

from __future__ import annotations

from fastapi import Request

from limosa_server.errors import PreconditionFailed


def not_modified(request: Request, etag: str) -> bool:
    """Whether the caller has this already."""
    return _matches(request.headers.get("if-none-match", ""), etag)


def check_if_match(request: Request, etag: str) -> None:
    """Raises PreconditionFailed if the request is for another state than `etag`."""
    wanted = request.headers.get("if-match", "")
    if wanted and not _matches(wanted, etag):
        raise PreconditionFailed(
            "somebody else changed it first", where="If-Match", why=f"it is {etag} now, not {wanted[:80]}"
        )


def _matches(header: str, etag: str) -> bool:
    candidates = [part.strip().removeprefix("W/") for part in header.split(",") if part.strip()]
    return "*" in candidates or etag in candidates
