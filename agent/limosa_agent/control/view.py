"""What an operation of the control socket may look at, and act through."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from limosa_agent.config import AgentConfig
from limosa_agent.identity.identity import Identity
from limosa_agent.listening import listen_address
from limosa_contracts.json_value import JsonObject, JsonValue

if TYPE_CHECKING:
    from limosa_agent.identity.renewals import Renewals
    from limosa_agent.link.mqtt import MqttLink
    from limosa_agent.link.uplink import Uplink
    from limosa_agent.supervisor import Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """One run of the whole agent."""

    config: AgentConfig
    identity: Identity
    supervisor: Supervisor
    mqtt: MqttLink
    uplink: Uplink
    sockets: Sequence[socket.socket]
    renewals: Renewals
    started_at: float  # Unix seconds

    @property
    def listen(self) -> str:
        return listen_address(self.sockets)

    def in_a_line(self) -> str:
        """What `systemctl status` shows."""
        serves = ", ".join(f"{slot.model} {slot.version}" for slot in self.supervisor.pool.models)
        if self.supervisor.inbox.decommissioned is not None:
            return f"serves {serves or 'no model'}; taken out of the fleet"
        return f"serves {serves or 'no model yet'}; mqtt {'up' if self.mqtt.up else 'down'}"


Operation: TypeAlias = Callable[[AgentView, JsonObject], Awaitable[dict[str, JsonValue]]]
"""The answer to one request. What it raises of LimosaError goes back to who asked."""
