"""What the parts of one server process share; made once, in `run.py` or a test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from limosa_contracts.signing_keys import SigningKey
from limosa_server.access.tokens import AccessTokens
from limosa_server.fleet.departure import LeavingHandler
from limosa_server.metrics import Metrics
from limosa_server.registry.blobs import Blobs
from limosa_server.registry.deltas import Deltas
from limosa_server.reports.report_parsing import AnyReport
from limosa_server.settings import ServerSettings
from limosa_server.store import Store, Transaction
from limosa_server.trust.pki import DeviceAuthority
from limosa_server.trust.trust_folder import TrustFolder
from limosa_server.trust.tuf_repository import TufRepository

Report: TypeAlias = AnyReport
"""A window comes without its sketch, which was checked: its row has it."""
News: TypeAlias = Mapping[str, Sequence[Report]]
"""device -> its new reports, in order."""
ReportHandler: TypeAlias = Callable[[Transaction, News, float], None]
"""(tx, what is new of one batch, now): called once inside the transaction that commits the batch, so that
a handler reads and writes for all of its devices at once (server 2.3). It must not raise for anything a
device can send."""
DeviceHandler: TypeAlias = Callable[[Transaction, Sequence[str], str, float], None]
"""(tx, devices, static group to join or "", now): called in the transaction that enrolled devices or
changed their labels, so that memberships follow (rollouts 3.6)."""


class DesiredSource(Protocol):
    """Where the signed desired documents are; the rollout side provides it."""

    def one(self, tx: Transaction, device: str) -> bytes | None:
        """The DSSE envelope to publish, or None if the device has none yet."""
        ...

    def every(self, tx: Transaction) -> Iterable[tuple[str, bytes]]:
        """(device, envelope) of all."""
        ...


class NothingDesired:
    """A fleet in which nothing was ever rolled out."""

    def one(self, tx: Transaction, device: str) -> bytes | None:
        return None

    def every(self, tx: Transaction) -> Iterable[tuple[str, bytes]]:
        return ()


class BrokerLink(Protocol):
    """Whether this server hears its devices over the broker; the bus provides it."""

    def down_since(self) -> float | None:
        """Since when, Unix seconds, it is not connected or not let subscribe; None if all is well."""
        ...


class NoBroker:
    """Of a process that has no bus, so that it misses none."""

    def down_since(self) -> float | None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where devices find the server; known when its ports are bound."""

    base_url: str  # no trailing slash; also the audience's beginning
    mqtt_host: str
    mqtt_port: int
    mqtt_tls: bool


@dataclass(slots=True, kw_only=True)
class ServerState:
    settings: ServerSettings
    store: Store
    trust: TrustFolder
    tuf: TufRepository
    blobs: Blobs
    deltas: Deltas
    authority: DeviceAuthority
    director_key: SigningKey  # the one that devices know: taken up after the metadata that names it
    access_tokens: AccessTokens
    metrics: Metrics
    endpoints: Endpoints
    clock: Callable[[], float]  # Unix seconds
    report_handlers: list[ReportHandler] = field(default_factory=list)
    device_handlers: list[DeviceHandler] = field(default_factory=list)
    leaving_handlers: list[LeavingHandler] = field(default_factory=list)
    desired: DesiredSource = field(default_factory=NothingDesired)
    broker: BrokerLink = field(default_factory=NoBroker)
