"""The worker's event loop: uvloop's where it is installed, else asyncio's own (agent 5.4)."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import Final

FAST: Final = "uvloop"
"""14 MB installed, half of what an agent may take beside its runtime: the extra `fast` brings it."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    if find_spec(FAST) is None:
        return asyncio.new_event_loop()
    import uvloop  # only where it is there

    return uvloop.new_event_loop()
