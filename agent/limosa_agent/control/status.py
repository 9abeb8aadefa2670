"""`status`: what this device serves, what it waits for, and how its links are."""

from __future__ import annotations

from limosa_agent.capabilities import resources
from limosa_agent.control.health import failing_now
from limosa_agent.control.holds import held_view
from limosa_agent.control.view import AgentView
from limosa_agent.installed import installed_version
from limosa_agent.resident import rss_bytes
from limosa_agent.update.state import ABSENT, ModelState
from limosa_contracts.json_value import JsonObject, JsonValue


async def status(view: AgentView, request: JsonObject) -> dict[str, JsonValue]:
    supervisor = view.supervisor
    gone = supervisor.inbox.decommissioned
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
    for name, lane in sorted(supervisor.updater.shadows.items()):
        models.append(shadow_row(name, lane))
    return {
        **held_view(view),
        "safe_mode": None,
        "device": view.identity.device,
        "agent": installed_version("limosa") or "0.0.0",
        "started_at": view.started_at,
        "listen": view.listen,
        "mqtt": "up" if view.mqtt.up else "down",
        "mqtt_for_s": round(view.mqtt.for_s, 1),
        "mqtt_why": view.mqtt.why,
        "reports_unheard": view.uplink.deaf,
        "desired": {
            "epoch": supervisor.inbox.order[0],
            "counter": supervisor.inbox.order[1],
            "expires_at": supervisor.inbox.state.expires if supervisor.inbox.state else None,
            "expired": supervisor.inbox.expired,
        },
        "decommissioned": gone.as_json() if gone else None,
        "refused_desired": dict(supervisor.inbox.refused),
        "audit_head": supervisor.inbox.witness.head,
        "outbox": {
            "rows": supervisor.outbox.rows,
            "bytes": supervisor.outbox.bytes,
            "max_bytes": view.config.limits.outbox_max_bytes,
            "full_of_verdicts": not supervisor.outbox.may_begin(),
        },
        "certificate_expires_at": view.renewals.expires_at or None,
        "clock": supervisor.watch.clock_state(),
        "failing": list(failing_now(view)),
        "disk_free_bytes": resources(view.config.state_dir)["disk_free_bytes"],
        "generation": supervisor.pool.generation,
        "workers": list(supervisor.pool.worker_pids),
        "requests_lost": supervisor.watch.requests_lost,
        "rss_bytes": rss_bytes(),
        "models": models,
    }


def shadow_row(model: str, lane: ModelState) -> dict[str, JsonValue]:
    """A challenger: it runs beside, and answers nobody."""
    return {
        "model": f"{model} (shadow)",
        "phase": lane.phase.value,
        "serving": None,
        "wanted": lane.target.version if lane.target and lane.target.mode != ABSENT else None,
        "rollout": lane.target.rollout if lane.target else "",
        "reason": lane.reason.code,
        "message": lane.reason.message,
    }
