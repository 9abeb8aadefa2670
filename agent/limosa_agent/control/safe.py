"""What the control socket answers while only what is good is served (agent 3.2)."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from limosa_agent.config import AgentConfig
from limosa_agent.control.operations import OPERATIONS
from limosa_agent.control_socket import Handler
from limosa_agent.errors import OnlyServing
from limosa_agent.installed import installed_version
from limosa_agent.listening import listen_address
from limosa_agent.resident import rss_bytes
from limosa_agent.serving.pool import ServingPool
from limosa_contracts.errors import LimosaError
from limosa_contracts.json_value import JsonObject, JsonValue


@dataclass(slots=True, kw_only=True)
class SafeMode:
    """`trouble` is what keeps the agent from being whole, as it was seen last."""

    config: AgentConfig
    pool: ServingPool
    sockets: Sequence[socket.socket]
    started_at: float  # Unix seconds
    trouble: Exception


def safe_handlers(safe: SafeMode) -> dict[str, Handler]:
    """`status` answers; every other operation raises OnlyServing with the reason."""

    async def status(request: JsonObject) -> dict[str, JsonValue]:
        return {
            "safe_mode": trouble_of(safe.trouble),
            "agent": installed_version("limosa") or "0.0.0",
            "started_at": safe.started_at,
            "listen": listen_address(safe.sockets),
            "generation": safe.pool.generation,
            "workers": list(safe.pool.worker_pids),
            "requests_lost": safe.pool.requests_lost,
            "rss_bytes": rss_bytes(),
            "models": [{"model": slot.model, "serving": slot.version} for slot in safe.pool.models],
        }

    async def refuse(request: JsonObject) -> dict[str, JsonValue]:
        raise OnlyServing("the agent only serves for now", why=str(safe.trouble))

    return {**dict.fromkeys(OPERATIONS, refuse), "status": status}


def trouble_of(error: Exception) -> dict[str, JsonValue]:
    """code, message, hint; of an error of the system the code is empty."""
    if isinstance(error, LimosaError):
        return {"code": error.code, "message": str(error), "hint": error.hint}
    return {"code": "", "message": f"{type(error).__name__}: {error}", "hint": "limosa-agent doctor"}
