"""The operator's probes: whether their programs may be run at all (agent 4.2)."""

from __future__ import annotations

from pathlib import Path

from limosa_agent.config import AgentConfig
from limosa_agent.doctor.finding import Finding, well
from limosa_agent.health.probe_program import safe_program


def probes(config: AgentConfig) -> Finding:
    """Raises ProbeUnsafe."""
    for program in config.health.probe_programs:
        safe_program(Path(program))
    if not config.probes:
        return well("probes", "none is configured")
    return well("probes", f"configured: {len(config.probes)}; limosa-agent health says what they answer")
