"""`limosa-agent enroll`."""

from __future__ import annotations

from pathlib import Path

import click

from limosa_agent.commands.options import config_option
from limosa_contracts.cli import answer, command, json_option
from limosa_contracts.json_value import JsonValue


@command(
    "enroll",
    examples=[
        "limosa-agent enroll --config agent.toml --token lmt_…",
        "LIMOSA_ENROLL_TOKEN=lmt_… limosa-agent enroll  # keeps the token out of the process list",
    ],
)
@config_option
@click.option("--token", required=True, envvar="LIMOSA_ENROLL_TOKEN", help="From limosa device enroll-token.")
@click.option("--serial", default="", help="The serial number that the token is bound to, if it is.")
@json_option
def enroll_command(config: Path, token: str, serial: str, as_json: bool) -> None:
    """Let this device join a fleet: make its key, get its certificate."""
    from limosa_agent.config import AgentConfig
    from limosa_agent.identity.enroll import enroll

    settings = AgentConfig.load(config)
    enrolled = enroll(settings, token=token, serial=serial)
    value: dict[str, JsonValue] = {
        "device": enrolled.device,
        "identity": str(settings.identity_dir),
        "mqtt": {"host": enrolled.mqtt_host, "port": enrolled.mqtt_port, "tls": enrolled.mqtt_tls},
    }
    answer(
        value,
        as_json=as_json,
        text=f"this device is {enrolled.device}; start it: limosa-agent run --config {config}",
    )
