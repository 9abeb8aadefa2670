"""`limosa-agent run`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from limosa_agent.commands.options import config_option
from limosa_contracts.cli import command, json_option

SMALL: Final = {"MALLOC_ARENA_MAX": "1", "MALLOC_TOP_PAD_": "0", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""One arena for all threads, and what is freed goes back, all of it: for glibc, as defaults."""


@command("run", examples=["limosa-agent run --config agent.toml"])
@config_option
@json_option
def run_command(config: Path, as_json: bool) -> None:
    """Run the agent: serve models, follow the fleet server, report.

    Prints one line of JSON when it is ready, and logs to stderr; with --json a mistake in the
    configuration is told as JSON too. SIGTERM ends it.
    """
    from limosa_agent.config import AgentConfig
    from limosa_agent.identity.identity import load_identity, recover_identity

    settings = AgentConfig.load(config)  # mistakes are told here, in the form of every command
    recover_identity(settings.identity_dir)
    if not any(
        settings.state_dir.glob("models/*/*/releases/*")
    ):  # else what is good is served, whatever is lost
        load_identity(settings.identity_dir)
    # The same process goes on without what commands need: the supervisor stays small (agent 1).
    # Columns of code, for markers under a traceback's lines, are not kept either: 0.2 MB.
    words = [sys.executable, "-P", "-X", "no_debug_ranges", "-m", "limosa_agent.run", "--config", str(config)]
    os.execve(sys.executable, words, {**SMALL, **os.environ})  # noqa: S606  no shell; our own module
