"""Which challengers the end of the shadow worker is laid to. Pure."""

from __future__ import annotations

from limosa_agent.serving.slot_ref import ShadowCrashed
from limosa_contracts.event import Reason
from limosa_contracts.json_value import JsonValue


def blame(event: ShadowCrashed) -> tuple[tuple[str, Reason], ...]:
    """(model, why) of each: the one it died in; all of them where nobody can say."""
    how = "does not answer any more" if event.hung else f"ended: {event.signal_name or event.returncode}"
    evidence: dict[str, JsonValue] = {
        "returncode": event.returncode,
        "signal": event.signal_name,
        "hung": event.hung,
        "alone": bool(event.running) or len(event.models) == 1,
    }
    reason = Reason(code="shadow_crashed", message=f"the shadow worker {how}", evidence=evidence)
    blamed = (event.running,) if event.running else tuple(slot.model for slot in event.models)
    return tuple((model, reason) for model in blamed)
