"""`limosa-agent doctor`."""

from __future__ import annotations

from pathlib import Path

from limosa_agent.commands.options import config_option
from limosa_contracts.cli import answer, columns, command, json_option


@command("doctor", examples=["limosa-agent doctor", "limosa-agent doctor --json"])
@config_option
@json_option
def doctor_command(config: Path, as_json: bool) -> int:
    """Check clock, disk, runtime, certificate, server and broker, and say what to do.

    Exit code 0 if all is well, 3 if something was found.
    """
    from limosa_agent.config import AgentConfig
    from limosa_agent.doctor import examine

    findings = examine(AgentConfig.load(config))
    healthy = all(finding.ok for finding in findings)
    rows = [["✓" if f.ok else "✗", f.name, f.says, f.hint] for f in findings]
    answer(
        {"healthy": healthy, "findings": [dict(f.as_json()) for f in findings]},
        as_json=as_json,
        text=lambda: columns(["", "CHECK", "FOUND", "DO"], rows),
    )
    return 0 if healthy else 3
