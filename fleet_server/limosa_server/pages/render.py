"""Templates to HTML. Everything is escaped; a name that a template does not get is an error."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.duration import format_duration
from limosa_contracts.errors import LimosaError
from limosa_server.api.state import server_state
from limosa_server.core.device_state import DeviceState, standing
from limosa_server.core.planning.wording import size
from limosa_server.pages import bars, times
from limosa_server.pages.static_files import assets
from limosa_server.pages.words import RETURN, sign

HASH_CHARS: Final = 12
_CODE: Final = re.compile(r"`([^`]{1,200})`")


def page(request: Request, template: str, *, status: int = 200, api: str = "", **values: Any) -> HTMLResponse:
    """`api`: where the same resource is in JSON."""
    html = environment().get_template(template).render(
        visitor=getattr(request.state, "visitor", None),
        here=request.url.path,
        address=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        now=server_state(request).clock(),
        api=api,
        **values,
    )  # fmt: skip
    return HTMLResponse(html, status_code=status)


def error_page(request: Request, error: LimosaError) -> HTMLResponse:
    return page(request, "error.html", status=error.http_status, error=error)


@cache
def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("limosa_server"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        ago=times.ago,
        utc=times.utc,
        machine=times.machine,
        size=size,
        duration=format_duration,
        path=path_part,
        ticks=ticks,
        digest=digest,
        pretty=pretty,
        segments=bars.segments,
    )
    made.globals.update(
        DeviceState=DeviceState, standing=standing, sign=sign, asset=asset, returns=RETURN, BAR=bars.BAR_UNITS
    )
    return made


def path_part(text: object) -> str:
    """One segment of a path, whatever is in it.

    >>> path_part("a/b <c>?")
    'a%2Fb%20%3Cc%3E%3F'
    """
    return quote(str(text), safe="")


def ticks(text: str) -> Markup:
    """`words` between back-ticks as code; the rest is escaped like everything."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  # escaped just now


def digest(text: str) -> str:
    """Tells a page whether one of its parts has changed."""
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_CHARS]


def pretty(value: Any) -> str:
    """A JSON value in one line, lists and objects of plain values without their brackets.

    >>> [pretty(value) for value in (0.5, ["avx2", "fma"], {"onnxruntime": "1.31.1"}, {"a": [1]})]
    ['0.5', 'avx2, fma', 'onnxruntime 1.31.1', '{"a":[1]}']
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, (str, int, float)) for one in value):
        return ", ".join(str(one) for one in value)
    if isinstance(value, dict) and all(isinstance(one, (str, int, float)) for one in value.values()):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    return encode_canonical(value).decode()


def asset(name: str) -> str:
    return f"/static/{name}?v={assets()[name].sha256[:HASH_CHARS]}"
