"""`rollback`: an operator at the device goes back to the previous release (agent 4.4, 6.3)."""

from __future__ import annotations

from typing import Final

from limosa_agent.control.view import AgentView
from limosa_agent.errors import ModelUnknown, NothingToGoBackTo, RollbackNotNow, UnknownTransition
from limosa_agent.logs.about import about
from limosa_agent.update.events import Event, LateFailure, Unhealthy
from limosa_agent.update.state import ModelState, Release
from limosa_contracts.event import Reason
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue

OPERATOR: Final = "operator"


async def rollback(view: AgentView, request: JsonObject) -> dict[str, JsonValue]:
    """{model, reason?}: answers when the previous release answers again, and what was left is in
    quarantine. Raises ModelUnknown, NothingToGoBackTo, RollbackNotNow."""
    fields = Fields(request, where="request")
    model = fields.text("model", max_chars=256)
    said = fields.optional("reason", lambda n: fields.text(n, max_chars=200, empty=True), "")
    updater = view.supervisor.updater
    if model not in updater.states:
        known = ", ".join(sorted(updater.states))
        raise ModelUnknown(f"this device has no model {model!r}", why=f"known: {known or 'none'}")
    left, back_to = _way_back(updater.state(model))
    reason = Reason(code=OPERATOR, message=said or "an operator at the device went back")
    try:
        with about(model):
            await updater.dispatch(model, _event(updater.state(model), reason))
    except UnknownTransition as error:
        raise RollbackNotNow(
            f"{model} is {updater.state(model).phase.value}", why="it ends by itself within minutes"
        ) from error
    view.supervisor.report()
    return {"model": model, "left": left.version, "serves": back_to.version}


def _way_back(state: ModelState) -> tuple[Release, Release]:
    """What is left, and what it goes back to."""
    left, back_to = (state.candidate, state.active) if state.on_trial else (state.active, state.previous)
    if left is None or back_to is None:
        raise NothingToGoBackTo(f"{state.model} has no previous release here", where=state.phase.value)
    return left, back_to


def _event(state: ModelState, reason: Reason) -> Event:
    return Unhealthy(reason=reason) if state.on_trial else LateFailure(reason=reason)
