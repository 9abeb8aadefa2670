"""What can go wrong when the agent is made a service, or taken off a device.

RequestError    the caller's mistake       ServiceRefused, UninstallRefused
"""

from __future__ import annotations

from limosa_contracts.errors import RequestError


class ServiceRefused(RequestError):
    code = "LM-540"
    summary = "the agent cannot be made a service as it is installed, or by this user"
    default_hint = "docs/how-to/run-as-a-systemd-service.md"


class UninstallRefused(RequestError):
    code = "LM-541"
    summary = "the agent's files are not removed: it runs, or the folder is not one of an agent"
    default_hint = "stop the agent first; nothing was removed"
