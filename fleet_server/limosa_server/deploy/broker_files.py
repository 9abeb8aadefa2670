"""The files of a mosquitto that runs by itself, written where the server keeps them up to date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limosa_server.files import write_atomic, write_private
from limosa_server.links import broker_tls
from limosa_server.mqtt.broker_config import mosquitto_acl, mosquitto_config
from limosa_server.settings import ServerSettings
from limosa_server.trust.trust_folder import TrustFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerFiles:
    config: Path
    files: Sequence[Path]


def write_broker_files(settings: ServerSettings, *, host: str, port: int, user: str) -> BrokerFiles:
    """Raises TrustFolderIncomplete."""
    folder = settings.broker_folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    trust = TrustFolder(settings.trust)
    tls = broker_tls(settings, trust, trust.authority())
    config, acl = folder / "mosquitto.conf", folder / "acl"
    write_private(acl, mosquitto_acl().encode())
    text = mosquitto_config(folder, host=host, port=port, user=user, tls=tls, limits=settings.limits)
    write_atomic(config, text.encode())
    revoked = [] if tls.revoked is None else [tls.revoked]
    return BrokerFiles(config=config, files=(config, acl, tls.ca, *revoked))
