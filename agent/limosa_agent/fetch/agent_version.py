"""The version of this agent, which releases may ask for (trust 2.4)."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

AGENT_VERSION: Final = version("limosa")
