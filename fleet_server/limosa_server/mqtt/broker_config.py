"""What a child broker is started with: command line and configuration, as values (server 4). No I/O."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from limosa_contracts.topics import PREFIX
from limosa_server.settings import MQTT_OVERHEAD_BYTES, ServerLimits

SERVER_NAME: Final = "limosa-server"
"""User name (certificate's common name) and client id of this server at the broker."""
SESSION_EXPIRY_S: Final = 3600  # how long the broker keeps messages for a server that is down
SAVE_EVERY_S: Final = 30
PID_FILE: Final = "mosquitto.pid"
QUEUED_MAX: Final = 100_000  # messages per client; the broker's own default of 1,000 drops silently
INFLIGHT_MAX: Final = 1_000

DEATH_WITH_PARENT: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit(0)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Runs a program that is told to end when the thread that started it does (PR_SET_PDEATHSIG)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerTls:
    """PEM files: who is trusted, and what the broker shows."""

    ca: Path
    certificate: Path
    key: Path
    revoked: Path | None = None  # list of certificates that are not taken any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What tests and the server may expect of a broker."""

    name: str
    acl: bool
    persistence: bool
    session_expiry: bool


MOSQUITTO: Final = Capabilities(name="mosquitto", acl=True, persistence=True, session_expiry=True)
IOTCORE: Final = Capabilities(name="iotcore", acl=False, persistence=False, session_expiry=False)


def mosquitto_config(
    folder: Path, *, host: str, port: int, user: str, tls: BrokerTls | None, limits: ServerLimits
) -> str:
    """mosquitto.conf(5). Without `tls` it is for a development loopback, where nobody proves a name, so
    that there is nothing an ACL could be tied to; reports and documents stay signed."""
    lines = [
        f"listener {port} {host}",
        "persistence true",
        f"persistence_location {folder}/",
        f"pid_file {folder}/{PID_FILE}",
        f"autosave_interval {SAVE_EVERY_S}",
        "persistent_client_expiration 14d",
        f"max_queued_messages {QUEUED_MAX}",
        f"max_inflight_messages {INFLIGHT_MAX}",
        # Told to clients when they connect. A little over the limit comes through, so that the server can
        # refuse it with a reason; a broker that refuses it would end the connection, again and again.
        f"max_packet_size {limits.mqtt_payload_max_bytes + MQTT_OVERHEAD_BYTES}",
        "retain_available true",
        "sys_interval 0",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
    ]
    if user:
        lines.append(f"user {user}")  # else as root it becomes one that cannot read the server's folder
    if tls is None:
        lines += ["allow_anonymous true"]
    else:
        lines += [
            "allow_anonymous false",
            f"cafile {tls.ca}",
            f"certfile {tls.certificate}",
            f"keyfile {tls.key}",
            "tls_version tlsv1.2",
            "require_certificate true",
            "use_identity_as_username true",
            "use_username_as_clientid true",  # else any device can kick another off (trust 6.3)
            f"acl_file {folder}/acl",
        ]
        if tls.revoked is not None:
            lines.append(f"crlfile {tls.revoked}")
    return "\n".join(lines) + "\n"


def mosquitto_acl() -> str:
    """Each device reads and writes its own topics only; the server all of them (trust 6.3)."""
    own = f"{PREFIX}/%u"
    lines = [f"pattern read {own}/{name}" for name in ("desired", "cmd", "ack")]
    lines += [f"pattern write {own}/{name}" for name in ("reported", "status", "tele/+", "evt", "answer")]
    return "\n".join([*lines, f"user {SERVER_NAME}", f"topic readwrite {PREFIX}/#"]) + "\n"


def mosquitto_command(program: str, config: Path, parent: int) -> Sequence[str]:
    return (sys.executable, "-c", DEATH_WITH_PARENT, str(parent), program, "-c", str(config))


def iotcore_config(*, host: str, port: int, limits: ServerLimits) -> str:
    """rumqttd's TOML; MQTT 5 only. It has no ACL, hence loopback only (server 4)."""
    return f"""id = 0

[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10

[v5.1]
name = "v5-1"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {limits.mqtt_payload_max_bytes + MQTT_OVERHEAD_BYTES}
max_inflight_count = {INFLIGHT_MAX}
dynamic_filters = true
"""


def iotcore_command(config: Path) -> Sequence[str]:
    """It ends when its standard input closes, so also when the server is killed."""
    return (sys.executable, "-m", "iotcore._serve", json.dumps({"config_path": str(config)}))
