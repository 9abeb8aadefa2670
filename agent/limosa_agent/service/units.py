"""The texts of systemd's units for the agent: service, socket, user. Pure; `install.py` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

SERVICE: Final = "limosa-agent.service"
SOCKET: Final = "limosa-agent.socket"
SYSUSERS: Final = "limosa.conf"
VAR_LIB: Final = PurePosixPath("/var/lib")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """Where things are on the device that the units are for."""

    program: PurePosixPath  # limosa-agent
    config: PurePosixPath
    state_dir: PurePosixPath
    user: str
    listen: Sequence[str]  # host:port, or the path of a Unix socket
    watchdog_s: int = 60  # the agent is restarted when it said nothing for so long
    start_max_s: int = 900  # every byte of what is installed is verified before it serves: slow cards
    stop_max_s: int = 60  # drains what is open


def quoted(word: object) -> str:
    """One word of an `ExecStart=` line.

    >>> quoted("/opt/a b/100%")
    '"/opt/a b/100%%"'
    """
    text = str(word).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return text if text.isascii() and not set(text) & set(" '\"\t;") else f'"{text}"'


def state_lines(state_dir: PurePosixPath) -> list[str]:
    """systemd makes a folder under /var/lib and gives it to the user; any other must be there."""
    if VAR_LIB in state_dir.parents:
        return [f"StateDirectory={quoted(state_dir.relative_to(VAR_LIB))}", "StateDirectoryMode=0700"]
    return [f"ReadWritePaths={quoted(state_dir)}"]


def service_unit(here: Installed) -> str:
    """Starts without network and clock: a device serves what it has (agent 4.4)."""
    sockets = [f"Requires={SOCKET}", f"After={SOCKET}"] if here.listen else []
    return "\n".join(
        [
            "[Unit]",
            "Description=Limosa agent: serves this device's models and keeps them up to date",
            "Documentation=man:systemd.service(5)",
            *sockets,
            "# It never gives up: a device out of reach has nobody who would start it again.",
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "Type=notify",
            "NotifyAccess=main",
            f"ExecStart={quoted(here.program)} run --config {quoted(here.config)}",
            f"User={here.user}",
            "Restart=always",
            "RestartSec=2",
            f"WatchdogSec={here.watchdog_s}",
            f"TimeoutStartSec={here.start_max_s}",
            f"TimeoutStopSec={here.stop_max_s}",
            "# SIGTERM for the supervisor alone: it lets its workers finish. What is left is killed.",
            "KillMode=mixed",
            "# A worker that took too much memory is the agent's to fall back from, not systemd's to stop.",
            "OOMPolicy=continue",
            "OOMScoreAdjust=-500",
            *state_lines(here.state_dir),
            *HARDENED,
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )


HARDENED: Final = (
    "UMask=0077",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "# An accelerator needs its device: `systemctl edit`, PrivateDevices=no and DeviceAllow=.",
    "PrivateDevices=yes",
    "DevicePolicy=closed",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "# Not ProcSubset=pid: memory and processor are read from /proc, for the choice of a variant.",
    "ProtectProc=invisible",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RemoveIPC=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged",
    "SystemCallErrorNumber=EPERM",
)


def socket_unit(here: Installed) -> str:
    """Requests that come while the agent is restarted wait in these sockets; none is refused (agent 1)."""
    return "\n".join(
        [
            "[Unit]",
            "Description=Where the Limosa agent answers",
            "",
            "[Socket]",
            *(f"ListenStream={address.replace('%', '%%')}" for address in here.listen),
            f"SocketUser={here.user}",
            f"SocketGroup={here.user}",
            "SocketMode=0660",
            "DirectoryMode=0755",
            "Backlog=128",
            "",
            "[Install]",
            "WantedBy=sockets.target",
            "",
        ]
    )


def sysusers(here: Installed) -> str:
    """For systemd-sysusers: a user without a shell, whose group may use the Unix socket."""
    return f'u {here.user} - "Limosa agent" {quoted(here.state_dir)}\n'
