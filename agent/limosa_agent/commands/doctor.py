"""`limosa-agent doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from limosa_agent.commands.options import config_option
from limosa_contracts.cli import answer, command, json_option, printable

if TYPE_CHECKING:
    from limosa_agent.doctor.finding import Finding

MARKS = {"well": ("✓", "green"), "note": ("!", "yellow"), "wrong": ("✗", "red")}


@command("doctor", examples=["limosa-agent doctor", "limosa-agent doctor --json"])
@config_option
@json_option
def doctor_command(config: Path, as_json: bool) -> int:
    """Check what this device needs to work, from its clock to the broker, and say what to do.

    Nothing is changed. Exit code 0 if nothing is wrong, 3 if something is; what is only worth a look
    counts as well.
    """
    from limosa_agent.config import AgentConfig
    from limosa_agent.doctor.examine import examine

    findings = list(examine(AgentConfig.load(config)))
    healthy = all(finding.ok for finding in findings)
    answer(
        {"healthy": healthy, "findings": [dict(f.as_json()) for f in findings]},
        as_json=as_json,
        text=lambda: findings_text(findings),
    )
    return 0 if healthy else 3


def findings_text(findings: Sequence[Finding]) -> str:
    """A line per check, and below it what to do."""
    width = max(len(finding.name) for finding in findings)
    lines: list[str] = []
    for finding in findings:
        mark, colour = MARKS[finding.level.value]
        name = finding.name.ljust(width)
        lines.append(f"{click.style(mark, fg=colour)} {name}  {printable(finding.says)}")
        if finding.hint:
            lines.append(f"  {' ' * width}  → {printable(finding.hint)}")
    return "\n".join(lines)
