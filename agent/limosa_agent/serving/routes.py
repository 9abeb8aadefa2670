"""Which path means what: the Open Inference Protocol v2, for models named team/model. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from limosa_agent.serving.errors import MethodRefused, UnknownModel

PATH_MAX_CHARS: Final = 512
GET, POST = b"GET", b"POST"
_SERVER: Final = {"": "server", "health/live": "live", "health/ready": "ready"}


@dataclass(frozen=True, slots=True)
class Route:
    """`action`: server, live, ready, metrics, index, metadata, model_ready, infer, feedback.

    Empty version: whichever is active.
    """

    action: str
    method: bytes
    model: str = ""
    version: str = ""


def parse_route(target: bytes) -> Route:
    """The slash of a model's name may come as it is or as %2F. Raises UnknownModel.

    >>> parse_route(b"/v2/models/demo%2Fmotion/versions/1.0.0/infer")
    Route(action='infer', method=b'POST', model='demo/motion', version='1.0.0')
    """
    path = unquote(target.partition(b"?")[0].decode("ascii", "replace"))
    if len(path) > PATH_MAX_CHARS:
        raise UnknownModel("the path is too long")
    words = path.strip("/").split("/")
    if words == ["metrics"]:
        return Route("metrics", GET)
    if words == ["v2", "repository", "index"]:
        return Route("index", POST)
    if words[0] != "v2":
        raise _unknown(path)
    if words[1:2] != ["models"]:
        action = _SERVER.get("/".join(words[1:]))
        if action is None:
            raise _unknown(path)
        return Route(action, GET)
    if len(words) < 4:
        raise _unknown(path)
    model, rest = "/".join(words[2:4]), words[4:]
    version = ""
    if rest[:1] == ["versions"] and len(rest) >= 2:
        version, rest = rest[1], rest[2:]
    if rest == ["infer"]:
        return Route("infer", POST, model, version)
    if rest == ["feedback"]:
        return Route("feedback", POST, model, version)
    if rest == ["ready"]:
        return Route("model_ready", GET, model, version)
    if not rest:
        return Route("metadata", GET, model, version)
    raise _unknown(path)


def check_method(route: Route, method: bytes) -> None:
    """Raises MethodRefused."""
    if method != route.method:
        allowed = route.method.decode()
        raise MethodRefused(
            f"this path takes {allowed}", why=f"{method.decode('ascii', 'replace')[:20]} came",
            evidence={"allow": allowed},
        )  # fmt: skip


def _unknown(path: str) -> UnknownModel:
    return UnknownModel(
        "there is no such path", where=path[:200], hint="POST /v2/models/{team}/{model}/infer"
    )
