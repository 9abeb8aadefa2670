"""One device: updates, slots, inference, health, telemetry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limosa_agent.serving.in_process import Model

# From 1.31 on, onnxruntime sends usage telemetry from Linux too, and leaves a session file in the temporary
# folder. Nothing goes out that the operator did not ask for (telemetry 1); it must be said before import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = ["Model"]


def __getattr__(name: str) -> object:
    # The supervisor imports this package too, and stays without numpy and the runtime (agent 1).
    if name == "Model":
        from limosa_agent.serving.in_process import Model

        return Model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
