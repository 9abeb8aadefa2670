"""The version of this agent, which releases may ask for (trust 2.4)."""

from __future__ import annotations

from typing import Final

from limosa_agent.installed import installed_version

AGENT_VERSION: Final = installed_version("limosa") or "0.0.0"
