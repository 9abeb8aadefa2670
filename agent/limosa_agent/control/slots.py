"""`slots`: the releases that this device keeps."""

from __future__ import annotations

from limosa_agent.control.view import AgentView
from limosa_agent.update.state import ModelState, Release
from limosa_contracts.json_value import JsonObject, JsonValue


async def slots(view: AgentView, request: JsonObject) -> dict[str, JsonValue]:
    return {"models": [_slots(state) for _, state in sorted(view.supervisor.updater.states.items())]}


def _slots(state: ModelState) -> JsonValue:
    return {
        "model": state.model,
        "phase": state.phase.value,
        "active": _release(state.active),
        "previous": _release(state.previous),
        "candidate": _release(state.candidate),
        "tries": state.tries,
        "committed_counter": state.committed_counter,
        "quarantine": [
            {"manifest_sha256": bad.manifest_sha256, "reason": bad.reason, "until": bad.until or None}
            for bad in state.quarantine
        ],
    }


def _release(release: Release | None) -> JsonValue:
    return release.as_json() if release else None
