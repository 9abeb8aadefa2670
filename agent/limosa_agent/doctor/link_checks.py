"""The ways out of the device: identity, certificate, proxy, server, broker; and the running agent."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from limosa_agent.config import AgentConfig
from limosa_agent.control_socket import ask_agent
from limosa_agent.doctor.finding import Finding, note, well, wrong
from limosa_agent.errors import AgentNotRunning
from limosa_agent.fetch.proxy import connect
from limosa_agent.identity.identity import Identity, load_identity
from limosa_agent.link.https import HttpsLink, exchange, https_context
from limosa_agent.link.mqtt import broker_address
from limosa_contracts.fields import Fields

CERTIFICATE_MIN_S: Final = 2 * 86400.0
CONNECT_TIMEOUT_S: Final = 5.0
CLOCK_APART_MAX_S: Final = 120.0  # from the server's: assertions and certificates allow about as much


def identity(config: AgentConfig) -> Finding:
    return well("identity", f"device {load_identity(config.identity_dir).device}")


def certificate(config: AgentConfig) -> Finding:
    leaf = x509.load_pem_x509_certificates(load_identity(config.identity_dir).certificate_pem)[0]
    now = datetime.now(UTC)
    if now < leaf.not_valid_before_utc:
        says = f"valid only from {leaf.not_valid_before_utc.isoformat()}"
        return wrong("certificate", says, "the clock is behind: set it")
    left_s = (leaf.not_valid_after_utc - now).total_seconds()
    says = f"valid until {leaf.not_valid_after_utc.date().isoformat()}"
    if left_s <= 0:
        return wrong(
            "certificate",
            f"{says}: over",
            "let the agent run and reach the server: it renews by itself, for 90 days after the end",
        )
    if left_s < CERTIFICATE_MIN_S:
        return wrong("certificate", says, "let the agent run and reach the server: it renews by itself")
    return well("certificate", says)


def proxy(config: AgentConfig) -> Finding:
    host = urlsplit(config.server).hostname or ""
    if config.proxy is None:
        return well("proxy", "none is set")
    if config.proxy.passes_by(host):
        return well("proxy", f"{host} is reached without it")
    config.proxy.authorization()  # a login that cannot be read is told before anything is tried
    connect(
        host, urlsplit(config.server).port or 443, proxy=config.proxy, timeout_s=CONNECT_TIMEOUT_S
    ).close()
    return well("proxy", f"{config.proxy.host}:{config.proxy.port} opens a way to {host}")


def server(config: AgentConfig) -> Finding:
    """Also compares the clocks: the server's is the one that counts for tokens."""
    got = exchange(
        config.server,
        "GET",
        "/tuf/metadata/timestamp.json",
        context=https_context(config),
        timeout_s=CONNECT_TIMEOUT_S,
        proxy=config.proxy,
    )
    says = f"{config.server} answers {got.status}"
    if got.status != 200:
        return wrong("server", says, "is `server` in agent.toml the fleet server's base URL?")
    apart_s = _clock_apart(got.headers, now=time.time())
    if abs(apart_s) > CLOCK_APART_MAX_S:
        said = f"this clock is {abs(apart_s):.0f} s {'ahead of' if apart_s > 0 else 'behind'} the server's"
        return wrong("server", f"{says}; {said}", "set the clock of this device, or the server's")
    return well("server", says)


def account(config: AgentConfig) -> Finding:
    """Whether the server still takes this device for what it says it is."""
    link = HttpsLink(
        server=config.server,
        identity=load_identity(config.identity_dir),
        context=lambda: https_context(config),
        proxy=config.proxy,
    )
    link.access_token()
    return well("account", "the server knows this device")


def broker(config: AgentConfig) -> Finding:
    device = load_identity(config.identity_dir)
    host, port = broker_address(config, device)
    try:
        _shake_hands(device, host, port)
    except (OSError, ssl.SSLError) as error:
        around = "; MQTT takes no way through the proxy" if config.proxy is not None else ""
        return wrong(
            "broker",
            f"{host}:{port}: {error}",
            f"check that the broker runs and that no firewall is between{around}; HTTPS is used meanwhile",
        )
    return well("broker", f"{host}:{port} answers")


def agent(config: AgentConfig) -> Finding:
    """What only the running agent knows: a broker refuses after its handshake, a server by silence."""
    try:
        status = Fields(ask_agent(config.control_socket, "status"), where="status")
    except AgentNotRunning as error:
        return wrong(
            "agent", str(error), "systemctl start limosa-agent, or: limosa-agent run; limosa-agent logs"
        )
    if status.has("safe_mode"):
        trouble = status.fields("safe_mode")
        return wrong(
            "agent",
            f"only serves what is good: {trouble.text('message', max_chars=8192, empty=True)}",
            trouble.text("hint", max_chars=8192, empty=True),
        )
    silent = [
        model.text("model")
        for model in (Fields(item, where=place) for place, item in status.items("models"))
        if not model.has("serving") and model.has("wanted") and model.text("phase") == "IDLE"
    ]
    if silent:
        return wrong(
            "agent",
            f"runs; nothing answers for {', '.join(silent)}",
            "limosa-agent status; limosa-agent logs",
        )
    if status.text("mqtt") != "up":
        hint = (
            "it asks over HTTPS meanwhile; if broker and clock are well, was this device revoked or replaced?"
        )
        why = status.optional("mqtt_why", lambda n: status.text(n, empty=True), "")
        return wrong("agent", f"runs; mqtt down: {why}" if why else "runs; mqtt down", hint)
    if status.boolean("reports_unheard"):
        hint = "is the fleet server connected to the broker? Reports go over HTTPS meanwhile"
        return note("agent", "runs; mqtt up; the server acknowledges no report", hint)
    return well("agent", "runs; mqtt up")


def _shake_hands(device: Identity, host: str, port: int) -> None:
    with socket.create_connection((host, port), CONNECT_TIMEOUT_S) as plain:
        if device.enrolled.mqtt_tls:
            context = ssl.create_default_context(cafile=str(device.ca_path))
            context.load_cert_chain(str(device.certificate_path), str(device.key_path))
            context.wrap_socket(plain, server_hostname=host).close()


def _clock_apart(headers: Mapping[str, str], *, now: float) -> float:
    """Seconds by which this clock is ahead of the server's; 0 where it does not say."""
    try:
        theirs = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return 0.0
    return now - theirs.timestamp()
