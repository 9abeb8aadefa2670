"""Every error as problem+json (RFC 9457), with the same code and hint as on the command line."""

from __future__ import annotations

import logging
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from limosa_contracts.errors import (
    Internal,
    InvalidField,
    LimosaError,
    NotAuthenticated,
    NotFound,
    TooLarge,
    TransferError,
)
from limosa_server.errors import DeviceRevoked, MethodNotAllowed

log = logging.getLogger(__name__)
MEDIA_TYPE: Final = "application/problem+json"

PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "pattern": "^LM-[0-9]+$"},
        "detail": {"type": "string"},
        "where": {"type": "string"},
        "desired": {"type": "string", "description": "to a device that is taken out: its last document"},
        "hint": {"type": "string"},
    },
}
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}}}
    for status, text in {
        400: "The request is not valid HTTP for this",
        401: "No valid credentials",
        403: "Not allowed, or not trusted",
        404: "No such thing",
        405: "Not with this method",
        409: "The state does not allow this",
        412: "Somebody else was first",
        413: "Too large",
        416: "No such range",
        422: "A field or document is not valid",
        503: "Try again later",
    }.items()
}
"""`responses=` of every router: the statuses any endpoint may answer."""


def problem(error: LimosaError) -> JSONResponse:
    detail = f"{error.what} ({error.why})" if error.why else error.what
    headers: dict[str, str] = {}
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="limosa"'
    if isinstance(error, TransferError):
        headers["Retry-After"] = "1"
    body: dict[str, Any] = {
        "type": f"urn:limosa:error:{error.code}",
        "title": error.summary,
        "status": error.http_status,
        "code": error.code,
        "detail": detail,
        "where": error.where,
        "hint": error.hint,
        # The registry protocol's own form of an error, for clients that only know that one.
        "errors": [{"code": error.code, "message": detail}],
    }
    if isinstance(error, DeviceRevoked) and "desired" in error.evidence:
        body["desired"] = error.evidence["desired"]
    return JSONResponse(body, status_code=error.http_status, media_type=MEDIA_TYPE, headers=headers)


def register(app: FastAPI) -> None:
    app.add_exception_handler(LimosaError, _known)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


async def _known(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LimosaError)
    response = problem(error)
    if isinstance(error, NotAuthenticated) and takes_basic(request):
        # Registry clients only send Basic credentials after they were asked for them.
        response.headers["WWW-Authenticate"] = 'Basic realm="limosa", charset="UTF-8"'
    return response


def takes_basic(request: Request) -> bool:
    """Only the registry does. A browser that was asked for Basic elsewhere would from then on send the
    token by itself, also with a form that another site posts."""
    return request.url.path == "/v2" or request.url.path.startswith("/v2/")


async def _validation(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return problem(InvalidField("a parameter is not valid", where=place, why=str(first["msg"])[:300]))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    where = request.url.path[:200]
    if error.status_code == 405:
        response = problem(MethodNotAllowed(f"not with {request.method[:20]}", where=where))
        response.headers.update(error.headers or {})
        return response
    if error.status_code == 404:
        return problem(NotFound("there is nothing here", where=where))
    if error.status_code == 413:
        return problem(TooLarge("the body is too large", where=where))
    response = problem(InvalidField(str(error.detail)[:300], where=where))
    response.status_code = error.status_code
    return response


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    log.error("unforeseen at %s %s", request.method, request.url.path, exc_info=error)
    return problem(Internal("something happened that the server did not foresee"))
