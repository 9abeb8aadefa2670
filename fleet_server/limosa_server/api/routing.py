"""The router of every API module: what an endpoint gives is JSON already and is sent as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.datastructures import DefaultPlaceholder


class Router(APIRouter):
    """Answers are built by hand, so the framework neither validates nor rebuilds them (it could not:
    the type of a JSON value is recursive). A `response_model` that is named is kept."""

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if isinstance(options.get("response_model"), DefaultPlaceholder):
            options["response_model"] = None
        super().add_api_route(path, endpoint, **options)
