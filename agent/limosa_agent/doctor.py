"""Looks at what a device needs to work, and says what to do about the rest (agent 6.3)."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from limosa_agent.capabilities import resources, runtimes
from limosa_agent.config import AgentConfig
from limosa_agent.control_socket import ask_agent
from limosa_agent.fetch.time_floor import BUILD_TIME
from limosa_agent.identity.identity import Identity, is_private, load_identity
from limosa_agent.link.https import exchange, tls_context
from limosa_agent.link.mqtt import broker_address
from limosa_contracts.errors import LimosaError

DISK_MIN_BYTES: Final = 256 * 1024 * 1024  # room for one more release and the state
CERTIFICATE_MIN_S: Final = 2 * 86400.0
CONNECT_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    name: str
    ok: bool
    says: str
    hint: str = ""

    def as_json(self) -> dict[str, str | bool]:
        return {"name": self.name, "ok": self.ok, "says": self.says, "hint": self.hint}


def examine(config: AgentConfig) -> list[Finding]:
    """Every check, in the order in which one depends on the other."""
    checks: list[tuple[str, Callable[[AgentConfig], Finding]]] = [
        ("clock", _clock),
        ("disk", _disk),
        ("runtime", _runtime),
        ("identity", _identity),
        ("certificate", _certificate),
        ("server", _server),
        ("broker", _broker),
        ("agent", _agent),
    ]
    findings = []
    for name, check in checks:
        try:
            findings.append(check(config))
        except LimosaError as error:
            findings.append(Finding(name=name, ok=False, says=str(error), hint=error.hint))
        except OSError as error:
            findings.append(
                Finding(name=name, ok=False, says=str(error), hint="check the path and who may use it")
            )
    return findings


def _clock(config: AgentConfig) -> Finding:
    now = datetime.now(UTC)
    ok = time.time() > BUILD_TIME
    hint = "" if ok else "set the clock: signed metadata seems to be of the future"
    return Finding(name="clock", ok=ok, says=now.isoformat(timespec="seconds"), hint=hint)


def _disk(config: AgentConfig) -> Finding:
    config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    free = resources(config.state_dir)["disk_free_bytes"]
    assert isinstance(free, int)
    ok = free >= DISK_MIN_BYTES
    says = f"{free // 2**20} MiB free at {config.state_dir}"
    return Finding(name="disk", ok=ok, says=says, hint="" if ok else "free some space on this disk")


def _runtime(config: AgentConfig) -> Finding:
    found = runtimes()
    says = ", ".join(f"{name} {version}" for name, version in found.items()) or "none"
    return Finding(
        name="runtime", ok=bool(found), says=says, hint="" if found else 'pip install "limosa[agent]"'
    )


def _identity(config: AgentConfig) -> Finding:
    identity = load_identity(config.identity_dir)
    if not is_private(identity.key_path):
        hint = f"chmod 600 {identity.key_path}"
        return Finding(name="identity", ok=False, says="others may read this device's key", hint=hint)
    return Finding(name="identity", ok=True, says=f"device {identity.device}")


def _certificate(config: AgentConfig) -> Finding:
    leaf = x509.load_pem_x509_certificates(load_identity(config.identity_dir).certificate_pem)[0]
    left = (leaf.not_valid_after_utc - datetime.now(UTC)).total_seconds()
    says = f"valid until {leaf.not_valid_after_utc.date().isoformat()}"
    if left <= 0:
        return Finding(
            name="certificate",
            ok=False,
            says=f"{says}: over",
            hint="let the agent run and reach the server: it renews by itself",
        )
    ok = left > CERTIFICATE_MIN_S
    return Finding(name="certificate", ok=ok, says=says, hint="" if ok else "let the agent renew it")


def _server(config: AgentConfig) -> Finding:
    context = None
    if config.server.startswith("https"):
        identity_ca = config.identity_dir / "ca.pem"
        context = tls_context([config.ca_file, identity_ca if identity_ca.exists() else None])
    got = exchange(
        config.server, "GET", "/tuf/metadata/timestamp.json", context=context, timeout_s=CONNECT_TIMEOUT_S
    )
    ok = got.status == 200
    hint = "" if ok else "is `server` in agent.toml the fleet server's base URL?"
    return Finding(name="server", ok=ok, says=f"{config.server} answers {got.status}", hint=hint)


def _broker(config: AgentConfig) -> Finding:
    identity = load_identity(config.identity_dir)
    host, port = broker_address(config, identity)
    try:
        _shake_hands(identity, host, port)
    except (OSError, ssl.SSLError) as error:
        return Finding(
            name="broker",
            ok=False,
            says=f"{host}:{port}: {error}",
            hint="check that the broker runs and that no firewall is between; HTTPS is used meanwhile",
        )
    return Finding(name="broker", ok=True, says=f"{host}:{port} answers")


def _shake_hands(identity: Identity, host: str, port: int) -> None:
    with socket.create_connection((host, port), CONNECT_TIMEOUT_S) as plain:
        if identity.enrolled.mqtt_tls:
            context = ssl.create_default_context(cafile=str(identity.ca_path))
            context.load_cert_chain(str(identity.certificate_path), str(identity.key_path))
            context.wrap_socket(plain, server_hostname=host).close()


def _agent(config: AgentConfig) -> Finding:
    status = ask_agent(config.control_socket, "status")
    ok = status.get("mqtt") == "up"  # only the agent knows: a broker refuses after its handshake
    hint = "it asks over HTTPS meanwhile; if broker and clock are well, was this device revoked or replaced?"
    return Finding(name="agent", ok=ok, says=f"runs; mqtt {status.get('mqtt')}", hint="" if ok else hint)
