"""What `limosa-agent status` and `slots` show, as JSON."""

from __future__ import annotations

from limosa_agent.capabilities import rss_bytes
from limosa_agent.supervisor import Supervisor
from limosa_agent.update.state import ModelState, Release
from limosa_contracts.json_value import JsonValue


def status_view(supervisor: Supervisor, *, device: str, listen: str, mqtt_up: bool) -> dict[str, JsonValue]:
    serving = {slot.model: slot for slot in supervisor.pool.models}
    models: list[JsonValue] = []
    for name, state in sorted(supervisor.updater.states.items()):
        slot = serving.get(name)
        models.append(
            {
                "model": name,
                "phase": state.phase.value,
                "serving": slot.version if slot else None,
                "wanted": state.target.version if state.target else None,
                "rollout": state.target.rollout if state.target else "",
                "reason": state.reason.code,
                "message": state.reason.message,
            }
        )
    return {
        "device": device,
        "listen": listen,
        "mqtt": "up" if mqtt_up else "down",
        "desired": {"epoch": supervisor.inbox.order[0], "counter": supervisor.inbox.order[1]},
        "refused_desired": dict(supervisor.inbox.refused),
        "outbox": {"rows": supervisor.outbox.rows, "bytes": supervisor.outbox.bytes},
        "generation": supervisor.pool.generation,
        "workers": list(supervisor.pool.worker_pids),
        "requests_lost": supervisor.watch.requests_lost,
        "rss_bytes": rss_bytes(),
        "models": models,
    }


def slots_view(supervisor: Supervisor) -> dict[str, JsonValue]:
    return {"models": [_slots(state) for _, state in sorted(supervisor.updater.states.items())]}


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
            {"manifest_sha256": bad.manifest_sha256, "reason": bad.reason} for bad in state.quarantine
        ],
    }


def _release(release: Release | None) -> JsonValue:
    return release.as_json() if release else None
