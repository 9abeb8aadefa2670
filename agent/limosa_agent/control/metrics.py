"""`metrics`: what the supervisor counts, as Prometheus' text; the serving worker hands it out too."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from limosa_agent.capabilities import resources
from limosa_agent.control.view import AgentView
from limosa_agent.installed import installed_version
from limosa_agent.telemetry.agent_metrics import AgentFacts, ModelFacts, agent_metrics
from limosa_agent.telemetry.prometheus import render
from limosa_contracts.json_value import JsonObject, JsonValue

log = logging.getLogger(__name__)

TELL_EVERY_S: Final = 10.0  # a scrape is rarely more frequent


async def metrics(view: AgentView, request: JsonObject) -> dict[str, JsonValue]:
    return {"text": metrics_text(view)}


def metrics_text(view: AgentView) -> str:
    return render(agent_metrics(_facts(view)))


async def keep_worker_told(view: AgentView) -> None:
    """Until cancelled: the worker answers `GET /metrics` with the text it got last."""
    while True:
        try:
            view.supervisor.pool.tell_metrics(metrics_text(view))
        except OSError as error:  # the state folder's disk does not answer
            log.warning("no metrics for now: %s", error)
        await asyncio.sleep(TELL_EVERY_S)


def _facts(view: AgentView) -> AgentFacts:
    supervisor = view.supervisor
    serving = {slot.model: slot for slot in supervisor.pool.models}
    here = resources(view.config.state_dir)
    desired = supervisor.inbox.state
    return AgentFacts(
        version=installed_version("limosa") or "0.0.0",
        started_at=view.started_at,
        mqtt_up=view.mqtt.up,
        outbox_rows=supervisor.outbox.rows,
        outbox_bytes=supervisor.outbox.bytes,
        outbox_max_bytes=view.config.limits.outbox_max_bytes,
        refused_desired=supervisor.inbox.refused,
        desired_expires_at=float(desired.expires) if desired else 0.0,
        certificate_expires_at=view.renewals.expires_at,
        clock=supervisor.watch.clock_state(),
        requests_lost=supervisor.watch.requests_lost,
        generation=supervisor.pool.generation,
        resident_bytes=_whole(here.get("rss_bytes")),
        disk_free_bytes=_whole(here.get("disk_free_bytes")),
        models=tuple(
            ModelFacts(
                model=name,
                phase=state.phase.value,
                serving=serving[name].version if name in serving else "",
                manifest_sha256=serving[name].manifest_sha256 if name in serving else "",
            )
            for name, state in sorted(supervisor.updater.states.items())
        ),
    )


def _whole(value: JsonValue) -> int:
    return value if isinstance(value, int) else 0
