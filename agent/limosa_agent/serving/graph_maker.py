"""The supervisor's side of optimised graphs: a limited child makes them, and nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Final

from limosa_agent.serving.limited_child import module_command, run_limited
from limosa_agent.serving.limits import SelfTestLimits
from limosa_agent.serving.runtime_options import RuntimeOptions
from limosa_agent.serving.slot_ref import SlotRef
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import LimosaError
from limosa_contracts.json_value import JsonValue

log = logging.getLogger(__name__)

CHILD: Final = "limosa_agent.serving.graph_child"


async def make_graph(
    directory: str | os.PathLike[str], limits: SelfTestLimits, options: RuntimeOptions
) -> Mapping[str, JsonValue]:
    """{"made": bool, "bytes" or "why"}. Whatever happens there, the release serves without it."""
    command = module_command(
        CHILD,
        os.fspath(directory),
        encode_canonical(limits.as_json()).decode(),
        encode_canonical(options.as_json()).decode(),
        str(os.getpid()),
    )
    try:
        ended = await run_limited(command, limits)
        return parse_object(ended.output, what="optimised graph", max_bytes=limits.output_max_bytes)
    except (OSError, LimosaError) as error:
        return {"made": False, "why": str(error)[:300]}


def in_words(said: Mapping[str, JsonValue]) -> str:
    """
    >>> in_words({"made": True, "bytes": 26656})
    'made, 26656 bytes'
    >>> in_words({"made": False, "why": "no space"})
    'not made: no space'
    """
    if said.get("made") is True:
        return f"made, {said.get('bytes')} bytes"
    return f"not made: {said.get('why', 'nothing was said')}"


class GraphMaker:
    """Makes again what a new runtime, new options or another processor have made useless."""

    def __init__(self, limits: SelfTestLimits, options: RuntimeOptions) -> None:
        self._limits: Final = limits
        self._options: Final = options
        self._one: Final = asyncio.Lock()  # child at a time
        self._tried: Final[set[str]] = set()

    async def make(self, slots: Sequence[SlotRef]) -> None:
        """Once per release and start of the agent: what failed will fail again."""
        for slot in slots:
            if slot.directory in self._tried:
                continue
            self._tried.add(slot.directory)
            async with self._one:
                said = await make_graph(slot.directory, self._limits, self._options)
            log.info("optimised graph of %s@%s: %s", slot.model, slot.version, in_words(said))
