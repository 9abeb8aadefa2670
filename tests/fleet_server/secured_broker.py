"""A server with its mosquitto behind client certificates, as in production (trust 6.3)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from limosa_server.links import broker_address, child_broker
from limosa_server.mqtt.broker import BrokerChild
from limosa_server.mqtt.broker_config import BrokerTls
from limosa_server.mqtt.bus_workers import BusWorkers
from limosa_server.settings import ServerSettings
from tests.fleet_server.world import Device, Fleet
from tests.support.programs import require_program
from tests.support.waiting import wait_until


@dataclass(slots=True)
class Secured:
    fleet: Fleet
    broker: BrokerChild
    folder: Path
    workers: BusWorkers

    def tls(self, device: Device) -> BrokerTls:
        """The device's identity as files, as the agent keeps them."""
        assert device.enrolled is not None
        files = BrokerTls(
            ca=self.folder / "ca.pem",
            certificate=self.folder / f"{device.id}.crt",
            key=self.folder / f"{device.id}.pem",
        )
        files.ca.write_text(device.enrolled.ca_pem)
        files.certificate.write_text(device.enrolled.certificate_pem)
        files.key.write_bytes(device.key.pem())
        return files


@contextmanager
def secured_broker(fleet: Fleet, folder: Path) -> Iterator[Secured]:
    require_program("mosquitto")
    settings = ServerSettings(data=folder / "data", mqtt_port=0, broker="mosquitto")
    broker = child_broker(settings, fleet.state.trust, fleet.state.authority)
    broker.start()
    workers = BusWorkers(fleet.state, broker_address(settings, fleet.state.authority, broker))
    workers.start()
    try:
        wait_until(lambda: workers.bus.counts().connected, timeout_s=20, what="the server is connected")
        yield Secured(fleet, broker, folder, workers)
    finally:
        workers.stop()
        broker.stop()
