"""One device: updates, slots, inference, health, telemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limosa_agent.serving.in_process import Model

__all__ = ["Model"]


def __getattr__(name: str) -> object:
    # The supervisor imports this package too, and stays without numpy and the runtime (agent 1).
    if name == "Model":
        from limosa_agent.serving.in_process import Model

        return Model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
