"""`limosa-agent run`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from limosa_agent.commands.options import config_option
from limosa_contracts.cli import command


@command("run", examples=["limosa-agent run --config agent.toml"])
@config_option
def run_command(config: Path) -> None:
    """Run the agent: serve models, follow the fleet server, report.

    Prints one line of JSON when it is ready, and logs to stderr. SIGTERM ends it.
    """
    from limosa_agent.config import AgentConfig
    from limosa_agent.identity import load_identity, recover_identity

    settings = AgentConfig.load(config)  # mistakes are told here, in the form of every command
    recover_identity(settings.identity_dir)
    load_identity(settings.identity_dir)
    # The same process goes on without what commands need: the supervisor stays small (agent 1).
    os.execv(  # noqa: S606  no shell; our own interpreter and module
        sys.executable, [sys.executable, "-m", "limosa_agent.run", "--config", str(config)]
    )
