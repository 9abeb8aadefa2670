"""Keeps revoked devices off the broker: nobody comes in, and who was in is put out (trust 6.3)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sqlmodel import col, select

from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_server.core.device_state import DeviceState
from limosa_server.files import write_atomic, write_private
from limosa_server.mqtt.broker_config import BrokerTls
from limosa_server.mqtt.bus import BrokerAddress
from limosa_server.mqtt.bus_takeover import end_session
from limosa_server.state import ServerState
from limosa_server.tables.devices import Device, DeviceCertificate
from limosa_server.trust.pki import DeviceAuthority
from limosa_server.trust.revocation_list import (
    LIFE_S,
    expires_at,
    issuer_keys,
    serial_numbers,
    sign_lists,
)

log = logging.getLogger(__name__)
RENEW_AFTER_S: Final = 86400.0
LINGER_S: Final = 150.0
"""How long the broker keeps a connection that was made before and has not said its name yet."""
TAKEOVER_S: Final = 3600.0  # life of a certificate whose key is thrown away at once


class Revocations:
    """One idempotent step: list the revoked, tell the broker, end their sessions."""

    def __init__(self, state: ServerState, address: BrokerAddress, reload_broker: Callable[[], None]) -> None:
        self._state = state
        self._address = address
        self._reload_broker = reload_broker
        self._path = list_path(state.settings.broker_folder)

    def step(self) -> list[str]:
        """Devices whose sessions it ended. Without TLS nobody proves a name, and there is nothing to do."""
        if self._address.tls is None:
            return []
        now = self._state.clock()
        revoked = self._revoked(now)
        pem = self._path.read_bytes()
        listed = serial_numbers(pem)
        fresh = {number: device for number, device in revoked.items() if number not in listed}
        issuers = frozenset(
            one.authority_identifier().key_identifier for one in self._state.authority.issuers
        )
        aged = now > expires_at(pem) - LIFE_S + RENEW_AFTER_S
        if fresh or aged or issuer_keys(pem) != issuers:
            write_list(self._path, self._state.authority, frozenset(revoked), now=now)
            self._reload_broker()
        ended = sorted({*fresh.values(), *self._lingering(now)})
        for device in ended:
            with self._name_of(device, now) as address:
                end_session(address, device)
        return ended

    def _revoked(self, now: float) -> dict[int, str]:
        """Serial number -> device, of certificates that would still be taken."""
        query = select(DeviceCertificate.serial_number, DeviceCertificate.device).where(
            col(DeviceCertificate.revoked_at).is_not(None), DeviceCertificate.not_after > now
        )
        with self._state.store.read() as tx:
            return {int(number, 16): device for number, device in tx.exec(query)}

    def _lingering(self, now: float) -> list[str]:
        query = (
            select(DeviceCertificate.device)
            .join(Device, col(Device.id) == col(DeviceCertificate.device))
            .where(col(DeviceCertificate.revoked_at) > now - LINGER_S, Device.state != DeviceState.ACTIVE)
        )
        with self._state.store.read() as tx:
            return list(tx.exec(query))

    @contextmanager
    def _name_of(self, device: str, now: float) -> Iterator[BrokerAddress]:
        """The broker, as it is reached under this device's name."""
        assert self._address.tls is not None
        key = SigningKey.generate(Algorithm.P256)
        issued = self._state.authority.issue(key.public, device=device, now=now, lifetime_s=TAKEOVER_S)
        with TemporaryDirectory(dir=self._state.settings.broker_folder) as folder:
            tls = BrokerTls(
                ca=self._address.tls.ca,
                certificate=Path(folder) / "takeover.crt",
                key=Path(folder) / "takeover.pem",
            )
            write_private(tls.key, key.pem())
            write_atomic(tls.certificate, issued.chain_pem.encode())
            yield BrokerAddress(host=self._address.host, port=self._address.port, tls=tls)


def list_path(broker_folder: Path) -> Path:
    return broker_folder / "revoked.crl"


def renew_list(path: Path, authority: DeviceAuthority, *, now: float) -> None:
    """What was listed stays so, with a new date: a broker that starts with an expired list, or with none,
    refuses everybody. One that cannot be read is made anew; the first step adds what is revoked."""
    try:
        listed = serial_numbers(path.read_bytes())
    except (OSError, ValueError):
        path.unlink(missing_ok=True)
        listed = frozenset()
    write_list(path, authority, listed, now=now)


def write_list(path: Path, authority: DeviceAuthority, numbers: frozenset[int], *, now: float) -> None:
    before = path.read_bytes() if path.exists() else None
    write_atomic(path, sign_lists(authority, numbers, now=now, before=before))
    log.info("%d revoked certificates are listed", len(numbers))
