"""Serves style, script and icon."""

from __future__ import annotations

from fastapi import Request, Response

from limosa_contracts.errors import NotFound
from limosa_server.api.conditional import not_modified
from limosa_server.pages.guard import page_router
from limosa_server.pages.static_files import assets

router = page_router()


@router.get("/static/{name:path}")
def static(name: str, request: Request, v: str = "") -> Response:
    asset = assets().get(name)
    if asset is None:
        raise NotFound("there is no such file", where=name[:100])
    kept = "public, max-age=31536000, immutable" if v and asset.sha256.startswith(v) else "no-cache"
    headers = {"ETag": f'"{asset.sha256[:32]}"', "Cache-Control": kept}
    if not_modified(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)
