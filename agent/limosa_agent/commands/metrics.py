"""`limosa-agent metrics`: what the running agent counts."""

from __future__ import annotations

from pathlib import Path

from limosa_agent.commands.options import config_option
from limosa_contracts.cli import answer, command, json_option
from limosa_contracts.fields import Fields


@command("metrics", examples=["limosa-agent metrics", "curl http://127.0.0.1:8080/metrics"])
@config_option
@json_option
def metrics_command(config: Path, as_json: bool) -> None:
    """Print the supervisor's metrics in Prometheus' text format.

    `GET /metrics` on the inference endpoint gives these and the serving worker's own.
    """
    from limosa_agent.config import AgentConfig
    from limosa_agent.control_socket import ask_agent

    told = Fields(ask_agent(AgentConfig.load(config).control_socket, "metrics"), where="metrics")
    text = told.text("text", max_chars=1024 * 1024)
    answer({"text": text}, as_json=as_json, text=text.rstrip("\n"))
