"""`hold` and `release`: an operator at the device keeps updates back, and lets them go on (agent 2.3)."""

from __future__ import annotations

from limosa_agent.control.view import AgentView
from limosa_agent.errors import ModelUnknown
from limosa_agent.store.holds import EVERYTHING, REASON_MAX_CHARS, Hold
from limosa_contracts.duration import LONGEST_S
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue


async def hold(view: AgentView, request: JsonObject) -> dict[str, JsonValue]:
    """{model?, for_s?, reason?}: holds one model or all, for a time or until released."""
    fields = Fields(request, where="request")
    reason = fields.optional("reason", lambda n: fields.text(n, max_chars=REASON_MAX_CHARS, empty=True), "")
    gatekeeper = view.supervisor.gatekeeper
    gatekeeper.holds.put(
        Hold(
            scope=_scope(view, fields) or EVERYTHING,
            reason=reason,
            since=gatekeeper.moment(),
            for_s=fields.maybe("for_s", lambda n: fields.number(n, low=1, high=LONGEST_S)),
        )
    )
    view.supervisor.report()
    return held_view(view)


async def release(view: AgentView, request: JsonObject) -> dict[str, JsonValue]:
    """{model?}: ends the hold of one model, or every one; what applications have locked stays so."""
    scope = _scope(view, Fields(request, where="request"))
    gatekeeper = view.supervisor.gatekeeper
    released: list[JsonValue] = list(gatekeeper.holds.release(scope))
    if scope is None and gatekeeper.remove_file():
        released.append("the file hold")
    view.supervisor.report()
    return {"released": released, **held_view(view)}


def held_view(view: AgentView) -> dict[str, JsonValue]:
    """What holds updates back now."""
    gatekeeper = view.supervisor.gatekeeper
    return {
        "holds": [
            {"scope": one.scope, "reason": one.reason, "until": one.until} for one in gatekeeper.held()
        ],
        "locks": list(gatekeeper.locks()),
        "lock_dir": str(gatekeeper.lock_dir),
    }


def _scope(view: AgentView, fields: Fields) -> str | None:
    model = fields.maybe("model", lambda n: fields.text(n, max_chars=256))
    if model is not None and model not in view.supervisor.updater.states:
        known = ", ".join(sorted(view.supervisor.updater.states))
        raise ModelUnknown(f"this device has no model {model!r}", why=f"known: {known or 'none'}")
    return model
