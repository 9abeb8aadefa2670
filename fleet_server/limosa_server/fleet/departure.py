"""That a device leaves, as told to whoever keeps something about devices: registry, rollouts, alerts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from limosa_contracts.json_value import JsonValue
from limosa_server.core.device_state import DeviceState
from limosa_server.store import Transaction


class Departed(Enum):
    REVOKED = DeviceState.REVOKED.value
    """Shut out; it may be let in again, so what it shall run stays."""
    DECOMMISSIONED = DeviceState.DECOMMISSIONED.value
    """For good."""
    REPLACED = "replaced"
    """New hardware has its name: what only the old hardware could say counts no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    device: str
    how: Departed
    reason: str  # of the operator; "" for none
    at: float  # Unix seconds


LeavingHandler: TypeAlias = Callable[[Transaction, Departure], Mapping[str, JsonValue]]
"""Called in the transaction in which the device leaves; gives what the audit shall say that it ended."""
