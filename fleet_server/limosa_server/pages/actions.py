"""What an operator does to a rollout, as plain forms; the same code as behind the API does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import Request, Response

from limosa_contracts.errors import NotFound
from limosa_contracts.json_value import JsonObject
from limosa_server.api import rollout_actions
from limosa_server.api.state import State
from limosa_server.pages.guard import OperatorForm, SignedIn, page_router

router = page_router()
REMARK_MAX_CHARS: Final = 500
ACTIONS: Final[Mapping[str, tuple[Callable[..., Any], JsonObject]]] = {
    "pause": (rollout_actions.pause, {}),
    "resume": (rollout_actions.resume, {}),
    "cancel": (rollout_actions.cancel, {}),
    "rollback": (rollout_actions.cancel, {"rollback": True}),
}


@router.post("/rollouts/{rollout_id}/{action}")
def act(
    request: Request, state: State, who: SignedIn, fields: OperatorForm, rollout_id: int, action: str
) -> Response:
    """Only on the state that the page showed: somebody may have been faster (PreconditionFailed)."""
    if action not in ACTIONS:
        raise NotFound("there is no such action", where=action[:40])
    carry_out, body = ACTIONS[action]
    remark = " ".join(fields.get("remark", "").split())
    carry_out(
        rollout_id, {**body, "remark": remark}, state, who.caller, _if_match(request, fields), Response()
    )
    return Response(status_code=303, headers={"Location": f"/rollouts/{rollout_id}"})


def _if_match(request: Request, fields: Mapping[str, str]) -> Request:
    """A form cannot send the header, so a field of it stands for it. Without one, no state matches."""
    etag = fields.get("etag", "").encode("latin-1", "replace") or b'"none"'
    headers = [(name, value) for name, value in request.scope["headers"] if name != b"if-match"]
    return Request({**request.scope, "headers": [*headers, (b"if-match", etag)]})
