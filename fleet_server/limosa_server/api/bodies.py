"""Request bodies, read with a cap and parsed strictly; the endpoint then reads its fields.

@router.post("/api/v1/groups", openapi_extra=json_schema({"name": {"type": "string"}}, required=["name"]))
def create(body: JsonBody, …):
    fields = Fields(body, where="group")
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from limosa_contracts.canonical import parse_object
from limosa_contracts.errors import TooLarge
from limosa_contracts.json_value import JsonObject
from limosa_server.api.state import State


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """Raises TooLarge before more than that is held in memory."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise TooLarge(
                "the body is too large", where="body", why=f"at most {max_bytes} bytes are accepted"
            )
        chunks.append(chunk)
    return b"".join(chunks)


async def raw_body(request: Request, state: State) -> bytes:
    return await read_body(request, max_bytes=state.settings.limits.body_max_bytes)


def parsed(data: bytes, *, max_bytes: int) -> JsonObject:
    """Raises InvalidJson, TooLarge."""
    return parse_object(data, what="body", max_bytes=max_bytes)


async def json_body(state: State, data: Annotated[bytes, Depends(raw_body)]) -> JsonObject:
    return parsed(data, max_bytes=state.settings.limits.body_max_bytes)


RawBody = Annotated[bytes, Depends(raw_body)]
JsonBody = Annotated[JsonObject, Depends(json_body)]


def json_schema(
    properties: dict[str, Any], *, required: list[str], example: dict[str, Any] | None = None
) -> dict[str, Any]:
    """`openapi_extra` for an endpoint that takes a JsonBody."""
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": True, "content": {"application/json": content}}}
