"""`limosa-agent update --from DIR`: install from a stick, without a network (trust 3.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from limosa_agent.commands.options import config_option
from limosa_contracts.cli import answer, command, json_option

TIMEOUT_S: Final = 360.0  # reading the metadata of a slow stick


@command(
    "update",
    examples=[
        "limosa-agent update --from /media/usb/limosa",
        "limosa-agent update --from /media/usb/limosa --json",
    ],
)
@click.option(
    "--from", "folder", type=click.Path(path_type=Path, file_okay=False, exists=True), required=True,
    help="A folder that limosa mirror export has written.",
)  # fmt: skip
@config_option
@json_option
def update_command(folder: Path, config: Path, as_json: bool) -> None:
    """Take what this device shall run from a mirror on a stick, and install it from there.

    The running agent reads the mirror: its user must be able to. Everything is verified as if it came
    from the server. Returns when the mirror is accepted; limosa-agent status says how it goes on.
    """
    from limosa_agent import errors as _errors  # noqa: F401  so that the agent's errors are known here
    from limosa_agent.config import AgentConfig
    from limosa_agent.control_socket import ask_agent

    path = AgentConfig.load(config).control_socket
    said = ask_agent(path, "mirror", {"folder": str(folder.resolve())}, timeout_s=TIMEOUT_S)
    answer(said, as_json=as_json, text=lambda: _text(bool(said["desired"]), bool(said["new"])))


def _text(desired: bool, new: bool) -> str:
    if not desired:
        return "the mirror has nothing for this device; its signed lists are taken over"
    if not new:
        return "the mirror wants what this device knows already; missing files come from it"
    return "the mirror is accepted: limosa-agent status"
