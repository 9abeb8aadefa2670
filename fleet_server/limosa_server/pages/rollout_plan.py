"""A plan as a page: a rollout file goes in, what it would do comes out, and a button that starts that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import Query, Request, Response

from limosa_contracts.errors import InvalidField, LimosaError
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_server.api import rollouts as rollouts_api
from limosa_server.api.rollout_plan import planned
from limosa_server.api.state import State
from limosa_server.core.planning import conditions
from limosa_server.core.planning.plan import Plan
from limosa_server.core.planning.rollout_file import parse_rollout_toml
from limosa_server.core.planning.summary import PlanSummary, about
from limosa_server.pages.guard import OperatorForm, SignedIn, page_router
from limosa_server.pages.render import page

router = page_router()
TEMPLATE: Final = """release = "{release}"
group = "{group}"

[[waves]]
name = "canary"
percent = 10
bake = "24h"

[[waves]]
name = "rest"
bake = "24h"

[on_failure]
rollback = "all"
"""


@router.get("/rollouts/plan")
def blank(
    request: Request,
    who: SignedIn,
    release: Annotated[str, Query(max_length=200)] = "team/model@1.0.0",
    group: Annotated[str, Query(max_length=64)] = "all",
) -> Response:
    """A file to begin with; a link may name its release and its group."""
    text = TEMPLATE.format(release=_quoted(release), group=_quoted(group))
    return _page(request, text=text, plan=None, error=None)


@router.post("/rollouts/plan")
def show(request: Request, state: State, who: SignedIn, fields: OperatorForm) -> Response:
    """What the file would do; nothing is written."""
    text = fields.get("file", "")
    try:
        plan = planned(state, who.caller, {**_parsed(text), **_despite(fields)})
    except LimosaError as error:
        return _page(request, text=text, plan=None, error=error, fields=fields)
    return _page(request, text=text, plan=plan, error=None, fields=fields)


@router.post("/rollouts/plan/start")
def start(request: Request, state: State, who: SignedIn, fields: OperatorForm) -> Response:
    """Starts exactly what the page showed; refused if the group has changed since (PlanStale)."""
    text = fields.get("file", "")
    given: dict[str, JsonValue] = {
        "salt": fields.get("salt", ""),
        "fingerprint": fields.get("fingerprint", ""),
    }
    body: JsonObject = {**_parsed(text), **_despite(fields), "plan": given}
    made = rollouts_api.start(body, state, who.caller, Response(), fields.get("fingerprint") or None)
    return Response(status_code=303, headers={"Location": f"/rollouts/{made['id']}"})


def _page(
    request: Request,
    *,
    text: str,
    plan: Plan | None,
    error: LimosaError | None,
    fields: Mapping[str, str] | None = None,
) -> Response:
    return page(
        request,
        "rollout_plan.html",
        api="/api/v1/rollouts",
        text=text,
        plan=plan,
        summary=None if plan is None else PlanSummary.parse(plan.as_json()),
        error=error,
        despite=(fields or {}).get("despite", ""),
        about=about,
        conditions=conditions,
    )


def _parsed(text: str) -> JsonObject:
    """Raises InvalidField."""
    return parse_rollout_toml(text, where="rollout file")


def _despite(fields: Mapping[str, str]) -> JsonObject:
    """Numbers of rollouts, apart by blanks or commas."""
    words = fields.get("despite", "").replace(",", " ").split()
    if not all(word.isascii() and word.isdigit() and len(word) < 16 for word in words):
        raise InvalidField("numbers of rollouts are needed", where="set aside")
    return {"despite": [int(word) for word in words]} if words else {}


def _quoted(text: str) -> str:
    """What cannot end a TOML string."""
    return "".join(char for char in text if char not in '"\\' and char.isprintable())
