"""Where the server is reached: its own socket, its child broker, and what devices are told."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_server.errors import ListenRefused
from limosa_server.files import write_atomic, write_private
from limosa_server.mqtt.broker import BrokerChild, choose
from limosa_server.mqtt.broker_config import SERVER_NAME, BrokerTls
from limosa_server.mqtt.bus import BrokerAddress
from limosa_server.mqtt.external_broker import ExternalBroker
from limosa_server.settings import ServerSettings
from limosa_server.state import Endpoints
from limosa_server.trust.pki import DeviceAuthority
from limosa_server.trust.revocations import list_path, renew_list
from limosa_server.trust.trust_folder import TrustFolder

CLIENT_CERTIFICATE_S: Final = 365 * 86400.0
ANY_HOST: Final = ("0.0.0.0", "::")  # noqa: S104  # compared with, not listened on
BACKLOG: Final = 1024


def listen(settings: ServerSettings) -> socket.socket:
    """Raises ListenRefused."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise ListenRefused(
            f"cannot listen on {settings.host}:{settings.port}",
            where="--listen",
            why=error.strerror or str(error),
            hint="name another port, or 0 for a free one",
        ) from error
    listener.listen(BACKLOG)
    return listener


def make_broker(
    settings: ServerSettings, trust: TrustFolder, authority: DeviceAuthority
) -> BrokerChild | ExternalBroker:
    if settings.broker != "external":
        return child_broker(settings, trust, authority)
    if not settings.dev:
        broker_tls(settings, trust, authority)
    host = settings.mqtt_host or urlsplit(settings.public_url).hostname or settings.host
    return ExternalBroker(settings.broker_folder, host=host, port=settings.mqtt_port)


def child_broker(settings: ServerSettings, trust: TrustFolder, authority: DeviceAuthority) -> BrokerChild:
    return BrokerChild(
        choose(settings.broker, dev=settings.dev),
        settings.broker_folder,
        host=settings.host,
        port=settings.mqtt_port,
        limits=settings.limits,
        tls=None if settings.dev else broker_tls(settings, trust, authority),
    )


def broker_tls(settings: ServerSettings, trust: TrustFolder, authority: DeviceAuthority) -> BrokerTls:
    """The files that a broker shows and trusts, in its folder; the list of the revoked is made to hold."""
    certificate, key = trust.tls_files()
    trusted, revoked = write_trusted(settings, authority), list_path(settings.broker_folder)
    renew_list(revoked, authority, now=time.time())
    return BrokerTls(ca=trusted, certificate=certificate, key=key, revoked=revoked)


def write_trusted(settings: ServerSettings, authority: DeviceAuthority) -> Path:
    """One file with the root and the intermediates, for broker and client."""
    settings.broker_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = settings.broker_folder / "ca.crt"
    write_atomic(path, (authority.root_pem + authority.intermediate_pem).encode())
    return path


def broker_address(
    settings: ServerSettings, authority: DeviceAuthority, broker: BrokerChild | ExternalBroker
) -> BrokerAddress:
    """How the server itself reaches the broker: as a client with a certificate of its own."""
    host = "127.0.0.1" if broker.host in ANY_HOST else broker.host
    if settings.dev:
        return BrokerAddress(host=host, port=broker.port)
    key = SigningKey.generate(Algorithm.P256)
    issued = authority.issue(key.public, device=SERVER_NAME, now=time.time(), lifetime_s=CLIENT_CERTIFICATE_S)
    tls = BrokerTls(
        ca=write_trusted(settings, authority),
        certificate=settings.broker_folder / "server-client.crt",
        key=settings.broker_folder / "server-client.pem",
    )
    write_private(tls.key, key.pem())
    write_atomic(tls.certificate, issued.chain_pem.encode())
    return BrokerAddress(host=host, port=broker.port, tls=tls)


def endpoints_of(settings: ServerSettings, port: int, mqtt_port: int) -> Endpoints:
    """What devices are told."""
    host = socket.gethostname() if settings.host in ANY_HOST else settings.host
    shown = f"[{host}]" if ":" in host else host
    base_url = settings.public_url or f"{'http' if settings.plain_http else 'https'}://{shown}:{port}"
    return Endpoints(
        base_url=base_url,
        mqtt_host=settings.mqtt_host or urlsplit(settings.public_url).hostname or host,
        mqtt_port=mqtt_port,
        mqtt_tls=not settings.dev,
    )
