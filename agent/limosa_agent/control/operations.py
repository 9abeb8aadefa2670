"""Every operation of the control socket: one line each (agent 6.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from limosa_agent.control.health import health
from limosa_agent.control.holds import hold, release
from limosa_agent.control.metrics import metrics
from limosa_agent.control.mirror import mirror
from limosa_agent.control.rollback import rollback
from limosa_agent.control.slots import slots
from limosa_agent.control.status import status
from limosa_agent.control.view import AgentView, Operation
from limosa_agent.control_socket import Handler
from limosa_contracts.json_value import JsonObject, JsonValue

OPERATIONS: Final[Mapping[str, Operation]] = {
    "metrics": metrics,
    "status": status,
    "health": health,
    "slots": slots,
    "mirror": mirror,
    "hold": hold,
    "release": release,
    "rollback": rollback,
}


def handlers(view: AgentView) -> dict[str, Handler]:
    """The operations bound to this run of the agent."""

    def bind(operation: Operation) -> Handler:
        async def handle(request: JsonObject) -> dict[str, JsonValue]:
            return await operation(view, request)

        return handle

    return {name: bind(operation) for name, operation in OPERATIONS.items()}
