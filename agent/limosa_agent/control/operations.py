"""Every operation of the control socket: one line each (agent 6.3)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from limosa_agent.control.view import AgentView, Operation
from limosa_agent.control_socket import Handler
from limosa_contracts.json_value import JsonObject, JsonValue

OPERATIONS: Final[Mapping[str, str]] = {
    "metrics": "metrics",
    "status": "status",
    "health": "health",
    "slots": "slots",
    "mirror": "mirror",
    "hold": "holds",
    "release": "holds",
    "rollback": "rollback",
}
"""The module beside this one that has a function of the operation's name: loaded when it is asked for
first, for most are not asked for in weeks, and the supervisor stays small (agent 1)."""


def operation_of(name: str) -> Operation:
    found: Operation = getattr(import_module(f"limosa_agent.control.{OPERATIONS[name]}"), name)
    return found


def handlers(view: AgentView) -> dict[str, Handler]:
    """The operations bound to this run of the agent."""

    def bind(name: str) -> Handler:
        async def handle(request: JsonObject) -> dict[str, JsonValue]:
            return await operation_of(name)(view, request)

        return handle

    return {name: bind(name) for name in OPERATIONS}
