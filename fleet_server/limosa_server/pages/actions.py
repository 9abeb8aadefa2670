"""What an operator does to a rollout, as plain forms; the same code as behind the API does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import Request, Response

from limosa_contracts.errors import NotFound
from limosa_contracts.json_value import JsonObject
from limosa_server.access.roles import Role
from limosa_server.api import rollout_actions, rollout_approval
from limosa_server.api.state import State
from limosa_server.pages.guard import SignedForm, SignedIn, needs, page_router

router = page_router()
OPERATOR, APPROVER = Role.OPERATOR, Role.APPROVER
ACTIONS: Final[Mapping[str, tuple[Role, Callable[..., Any], JsonObject]]] = {
    "pause": (OPERATOR, rollout_actions.pause, {}),
    "resume": (OPERATOR, rollout_actions.resume, {}),
    "cancel": (OPERATOR, rollout_actions.cancel, {}),
    "let-finish": (OPERATOR, rollout_actions.cancel, {"let_finish": True}),
    "rollback": (OPERATOR, rollout_actions.cancel, {"rollback": True}),
    "finish": (OPERATOR, rollout_approval.finish, {}),
    "submit": (OPERATOR, rollout_approval.submit, {}),
    "approve": (APPROVER, rollout_approval.approve, {}),
    "deny": (APPROVER, rollout_approval.deny, {}),
}


@router.post("/rollouts/{rollout_id}/{action}")
def act(
    request: Request, state: State, who: SignedIn, fields: SignedForm, rollout_id: int, action: str
) -> Response:
    """Only on the state that the page showed: somebody may have been faster (PreconditionFailed)."""
    if action not in ACTIONS:
        raise NotFound("there is no such action", where=action[:40])
    role, carry_out, body = ACTIONS[action]
    needs(who, role)
    if action != "submit":
        body = {**body, "remark": " ".join(fields.get("remark", "").split())}
    carry_out(rollout_id, body, state, who.caller, _if_match(request, fields), Response())
    return Response(status_code=303, headers={"Location": f"/rollouts/{rollout_id}"})


def _if_match(request: Request, fields: Mapping[str, str]) -> Request:
    """A form cannot send the header, so a field of it stands for it. Without one, no state matches."""
    etag = fields.get("etag", "").encode("latin-1", "replace") or b'"none"'
    headers = [(name, value) for name, value in request.scope["headers"] if name != b"if-match"]
    return Request({**request.scope, "headers": [*headers, (b"if-match", etag)]})
