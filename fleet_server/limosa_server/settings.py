"""What an operator may set, and every limit of the server with its unit and reason."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from limosa_contracts.limits import LIMITS
from limosa_server.errors import ListenRefused
from limosa_server.retention.settings import RetentionSettings

MQTT_OVERHEAD_BYTES: Final = 4096  # topic and user properties beside a payload


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Times in seconds, sizes in bytes."""

    body_max_bytes: int = LIMITS.document_max_bytes  # any JSON body of the API
    metadata_max_bytes: int = 16 * LIMITS.tuf_metadata_max_bytes  # a team publishes several bins at once
    blob_max_bytes: int = LIMITS.blob_max_bytes  # one layer
    upload_idle_s: float = 3600.0  # then its temporary file is removed
    mqtt_payload_max_bytes: int = LIMITS.mqtt_message_max_bytes
    ingest_queue_max: int = 10_000  # messages; paho stops acknowledging beyond, the broker waits
    ingest_batch_max: int = 1500  # messages of one commit
    ingest_batch_wait_s: float = 0.02  # a batch is not kept waiting longer
    ingest_workers_max: int | None = None  # processes that check reports; None: one for each core, 4 at most
    reports_per_request_max: int = 500  # HTTPS fall-back
    page_size_max: int = LIMITS.page_size_max
    device_certificate_s: float = 30 * 86400.0  # trust 1: 7 to 30 days
    renew_grace_s: float = 90 * 86400.0  # trust 6.2
    access_token_s: float = 600.0  # trust 6.2
    bulk_token_s: float = 7 * 86400.0  # of tokens made from a list: devices come in over days
    renewals_max: int = 6  # certificates of one device in `renewals_s`: it needs one in weeks
    renewals_s: float = 3600.0
    enroll_token_s: float = 86400.0  # unless the operator says otherwise
    api_token_s: float = 365 * 86400.0  # unless the operator says otherwise
    timestamp_expiry_s: float = 86400.0  # trust 1
    snapshot_expiry_s: float = 30 * 86400.0  # trust 1
    mirror_valid_max_s: float = 90 * 86400.0  # whoever has a stick may freeze its devices for so long
    mirror_devices_max: int = 10_000  # documents in one export
    command_expiry_s: int = 120  # server 3.1
    ack_expiry_s: int = 3600  # server 3.1
    shutdown_s: float = 3.0  # what open requests get before the process ends
    busy_timeout_s: float = 15.0  # how long a writer waits for another one


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaSettings:
    """Times in seconds, sizes in bytes."""

    blob_min_bytes: int = 32 * 1024  # below, a delta saves less than its request costs
    blob_max_bytes: int = 256 * 1024**2  # above, making one takes minutes
    cache_max_bytes: int = 1024**3  # of all deltas; the ones longest unused go first
    share_max: float = 0.9  # of the blob; a larger delta does not pay
    make_s: float = 300.0  # then the worker is ended
    make_memory_bytes: int = 4 * 1024**3  # address space of the worker
    waiting_max: int = 32  # deltas in line; more are not begun
    wait_s: float = 10.0  # a request waits so long for one that is being made
    not_worth_max: int = 4096  # pairs that are remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """What of the registry is kept. Times in seconds."""

    left_kept_s: float = 30 * 86400.0  # bytes of a release that was archived or retracted and nobody needs
    push_grace_s: float = 86400.0  # a blob without a manifest: its push may be under way
    touch_every_s: float = 3600.0  # how often asking for a blob makes it new again
    collect_every_s: float = 6 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """`public_url` is what devices call the server: no trailing slash; it is the audience of their
    assertions. The broker listens on the same host. Port 0 takes a free one."""

    data: Path
    database_url: str = ""  # of a PostgreSQL database; without it SQLite, in the data folder
    host: str = "127.0.0.1"
    port: int = 8443
    mqtt_port: int = 8883
    public_url: str = ""
    dev: bool = False
    broker: str = "auto"  # auto | mosquitto | iotcore, as a child; external: it runs by itself
    mqtt_host: str = ""  # of an external broker, as devices and this server call it
    behind_proxy: str = ""  # plain | nginx: who ends TLS in front; to nginx files are handed over too
    tick_s: float = 1.0  # the controller wakes at least this often
    two_person: tuple[str, ...] = ()  # actions that a second person must ask for too
    limits: ServerLimits = field(default_factory=ServerLimits)
    delta_settings: DeltaSettings = field(default_factory=DeltaSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    webhook_hosts: tuple[str, ...] = ()  # where alerts may go though it is private, or plain http

    def __post_init__(self) -> None:
        if self.dev and not is_loopback(self.host):
            raise ListenRefused(
                "development mode listens on loopback only", where="--listen", why=f"{self.host} is not"
            )
        if self.behind_proxy:
            self._check_proxy()

    def _check_proxy(self) -> None:
        if not is_loopback(self.host):
            raise ListenRefused(
                "behind a proxy the server listens on loopback only",
                where="--listen",
                why=f"{self.host} is not, and what comes there is not encrypted",
            )
        if not self.public_url.startswith("https://"):
            raise ListenRefused(
                "behind a proxy the server must know what devices call it",
                where="--public-url",
                why="their credentials name it",
                hint="--public-url https://fleet.example",
            )

    @property
    def database(self) -> Path | str:
        """What `Store.open` takes."""
        return self.database_url or self.data / "limosa.db"

    @property
    def trust(self) -> Path:
        """What `limosa keys init` made for the server."""
        return self.data / "trust"

    @property
    def blobs(self) -> Path:
        return self.data / "blobs"

    @property
    def deltas(self) -> Path:
        return self.data / "deltas"

    @property
    def broker_folder(self) -> Path:
        return self.data / "broker"

    @property
    def plain_http(self) -> bool:
        """Whether its own socket is without TLS."""
        return self.dev or bool(self.behind_proxy)

    @property
    def base_url(self) -> str:
        scheme = "http" if self.plain_http else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"{scheme}://{host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
