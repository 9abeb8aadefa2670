"""The `limosa-agent` script."""

from __future__ import annotations

import sys

import click

from limosa_agent.commands.doctor import doctor_command
from limosa_agent.commands.enroll import enroll_command
from limosa_agent.commands.health import health_command
from limosa_agent.commands.hold import hold_command, release_command, rollback_command
from limosa_agent.commands.infer import infer_command
from limosa_agent.commands.logs import logs_command
from limosa_agent.commands.metrics import metrics_command
from limosa_agent.commands.run import run_command
from limosa_agent.commands.service import install_service_command, uninstall_command
from limosa_agent.commands.status import slots_command, status_command
from limosa_agent.commands.tuf import tuf_command
from limosa_agent.commands.update import update_command
from limosa_contracts.cli import group, run


@group(
    "limosa-agent",
    examples=[
        "limosa-agent enroll --config agent.toml --token lmt_…",
        "limosa-agent run --config agent.toml",
        "limosa-agent status",
    ],
)
@click.version_option(package_name="limosa", prog_name="limosa-agent")
def agent() -> None:
    """The agent of one device: serves models, follows the fleet server, falls back by itself."""


for _command in (
    enroll_command,
    run_command,
    status_command,
    slots_command,
    health_command,
    infer_command,
    update_command,
    hold_command,
    release_command,
    rollback_command,
    doctor_command,
    logs_command,
    metrics_command,
    tuf_command,
    install_service_command,
    uninstall_command,
):
    agent.add_command(_command)


def main() -> None:
    sys.exit(run(agent, prog_name="limosa-agent", extra="agent"))
