"""`mirror`: install from a mirror in a folder (trust 3.5)."""

from __future__ import annotations

from pathlib import Path

from limosa_agent.control.view import AgentView
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue


async def mirror(view: AgentView, request: JsonObject) -> dict[str, JsonValue]:
    """Raises InvalidField, MirrorRefused."""
    fields = Fields(request, where="request")
    folder = Path(fields.text("folder"))
    if not folder.is_absolute():
        raise fields.wrong("folder", "it is no absolute path")
    return await view.supervisor.mirror.use(folder)
