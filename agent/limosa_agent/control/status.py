"""`status`: what this device serves, what it waits for, and how its links are."""

from __future__ import annotations

from limosa_agent.capabilities import rss_bytes
from limosa_agent.control.view import AgentView
from limosa_contracts.json_value import JsonObject, JsonValue


async def status(view: AgentView, request: JsonObject) -> dict[str, JsonValue]:
    supervisor = view.supervisor
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
        "device": view.identity.device,
        "listen": view.listen,
        "mqtt": "up" if view.mqtt.up else "down",
        "desired": {"epoch": supervisor.inbox.order[0], "counter": supervisor.inbox.order[1]},
        "refused_desired": dict(supervisor.inbox.refused),
        "outbox": {"rows": supervisor.outbox.rows, "bytes": supervisor.outbox.bytes},
        "generation": supervisor.pool.generation,
        "workers": list(supervisor.pool.worker_pids),
        "requests_lost": supervisor.watch.requests_lost,
        "rss_bytes": rss_bytes(),
        "models": models,
    }
