"""The server's commands: name -> where it is (see `limosa_contracts.cli`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

COMMANDS: Final[Mapping[str, str]] = {
    "server run": "limosa_server.cli.server:run",
    "server backup": "limosa_server.cli.backup:backup",
    "server restore": "limosa_server.cli.backup:restore",
    "server check": "limosa_server.cli.backup:check",
    "server broker-config": "limosa_server.cli.config_files:broker_config",
    "server nginx-config": "limosa_server.cli.config_files:nginx_config",
    "token create": "limosa_server.cli.token:create",
    "token list": "limosa_server.cli.token:list_tokens",
    "token revoke": "limosa_server.cli.token:revoke",
    "device enroll-token": "limosa_server.cli.device:enroll_token",
    "device list": "limosa_server.cli.device:list_devices",
    "device show": "limosa_server.cli.device:show",
    "device logs": "limosa_server.cli.device_commands:logs",
    "device status": "limosa_server.cli.device_commands:status",
    "device identify": "limosa_server.cli.device_commands:identify",
    "device revoke": "limosa_server.cli.device:revoke",
    "group create": "limosa_server.cli.group:create",
    "group list": "limosa_server.cli.group:list_groups",
    "group show": "limosa_server.cli.group:show",
    "group add": "limosa_server.cli.group:add",
    "group remove": "limosa_server.cli.group:remove",
    "release list": "limosa_server.cli.release:list_releases",
    "release show": "limosa_server.cli.release:show",
    "mirror export": "limosa_server.cli.mirror:export",
    "rollout plan": "limosa_server.cli.rollout_plan:plan",
    "rollout start": "limosa_server.cli.rollout_plan:start",
    "rollout list": "limosa_server.cli.rollout:list_rollouts",
    "rollout status": "limosa_server.cli.rollout:status",
    "rollout pause": "limosa_server.cli.rollout:pause",
    "rollout resume": "limosa_server.cli.rollout:resume",
    "rollout cancel": "limosa_server.cli.rollout:cancel",
    "rollout explain": "limosa_server.cli.rollout:explain",
}
