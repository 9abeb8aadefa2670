"""The server's commands: name -> where it is (see `limosa_contracts.cli`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

COMMANDS: Final[Mapping[str, str]] = {
    "server run": "limosa_server.cli.server:run",
    "token create": "limosa_server.cli.token:create",
    "token list": "limosa_server.cli.token:list_tokens",
    "token revoke": "limosa_server.cli.token:revoke",
    "device enroll-token": "limosa_server.cli.device:enroll_token",
    "device list": "limosa_server.cli.device:list_devices",
    "device show": "limosa_server.cli.device:show",
}
