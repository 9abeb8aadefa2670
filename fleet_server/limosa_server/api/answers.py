"""Answers are made by our own encoders: FastAPI neither validates nor copies them again."""

from __future__ import annotations

from typing import Any

from fastapi.routing import APIRoute


class AnswerRoute(APIRoute):
    """A route whose annotated JSON answer goes out as it is; pass it as `route_class` to each router.

    The annotation `dict[str, JsonValue]` names a recursive type, of which pydantic would have to build
    a model for every answer.
    """

    def __init__(self, path: str, endpoint: Any, **attributes: Any) -> None:
        super().__init__(path, endpoint, **(attributes | {"response_model": None}))
