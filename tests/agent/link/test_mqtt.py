"""The same device over a real broker: MQTT first, HTTPS when it is gone (agent 6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from limosa_contracts.report_message import Ack, ReportMessage
from limosa_contracts.status import Status
from limosa_contracts.topics import SIGNED, Suffix, Topic, device_topic, every_device
from tests.agent.device import Device
from tests.agent.fleet import DEVICE, Fleet
from tests.support.ports import free_port, wait_for_port
from tests.support.processes import Processes, Started
from tests.support.programs import require_program

pytestmark = pytest.mark.needs_mosquitto


class BrokerSide:
    """The server's end at the broker: takes reports and acknowledges them, retains desired states."""

    def __init__(self, fleet: Fleet, port: int) -> None:
        self.fleet = fleet
        self.status: list[Status] = []
        self.mute = False  # takes nothing, acknowledges nothing
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="fleet", protocol=MQTTProtocolVersion.MQTTv5
        )
        self.client.on_message = self._message
        self.client.on_connect = lambda client, *rest: client.subscribe(
            [(every_device(suffix), 1) for suffix in (*SIGNED, Suffix.STATUS)]
        )
        self.client.reconnect_delay_set(min_delay=1, max_delay=1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def retain(self, envelope: bytes) -> None:
        self.client.publish(device_topic(DEVICE, Suffix.DESIRED), envelope, qos=1, retain=True)

    def _message(self, client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        topic = Topic.parse(message.topic)
        if topic.suffix is Suffix.STATUS:
            self.status.append(Status.parse(bytes(message.payload)))
            return
        if self.mute:
            return
        properties = [(str(k), str(v)) for k, v in message.properties.UserProperty]  # type: ignore[union-attr]  # MQTT 5 always has them
        report = ReportMessage.from_mqtt(
            suffix=topic.suffix, properties=properties, payload=bytes(message.payload)
        )
        ack = self.fleet.take(report)
        payload = Ack(session=ack.session, seq=ack.seq).encode()
        client.publish(device_topic(DEVICE, Suffix.ACK), payload, qos=1)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def broker(processes: Processes, port: int, folder: Path) -> Iterator[Started]:
    settings = folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    started = processes.start([require_program("mosquitto"), "-c", settings], name="mosquitto")
    wait_for_port(port)
    yield started
    started.stop()


@pytest.fixture
def far_device(fleet: Fleet, processes: Processes, tmp_path: Path) -> Device:
    """HTTPS is asked so rarely that only MQTT can be in time."""
    fleet.mqtt_port = free_port()
    made = Device(folder=tmp_path / "device", fleet=fleet, processes=processes)
    made.write_config(poll_interval_s=3600, ack_timeout_s=0.5)
    made.enroll()
    return made


def test_update_runs_over_mqtt_and_the_broker_may_die_in_the_middle(
    far_device: Device, fleet: Fleet, processes: Processes, tmp_path: Path
) -> None:
    with broker(processes, fleet.mqtt_port, tmp_path) as first:
        side = BrokerSide(fleet, fleet.mqtt_port)
        side.retain(fleet.want(far_device.publish("1.0.0"), rollout="r1", seconds=0.3))
        far_device.start()
        far_device.wait_for(lambda: "COMMITTED" in fleet.phases("r1"), "1.0.0 over MQTT")
        assert any(status.online for status in side.status)
        side.retain(fleet.want(far_device.publish("2.0.0"), rollout="r2", seconds=3.0))
        far_device.wait_for(lambda: "PROBATION" in fleet.phases("r2"), "2.0.0 on trial")
        first.kill()
        assert far_device.ask(1.0) == 2.0
        with broker(processes, fleet.mqtt_port, tmp_path):
            far_device.wait_for(lambda: "COMMITTED" in fleet.phases("r2"), "2.0.0 after the broker's death")
            phases = fleet.phases("r2")
            assert len(phases) == len(set(phases))
            assert far_device.stop() == 0
            far_device.wait_for(lambda: not side.status[-1].online, "offline is told")
            side.close()


def test_reports_that_the_server_does_not_acknowledge_go_another_way(
    far_device: Device, fleet: Fleet, processes: Processes, tmp_path: Path
) -> None:
    with broker(processes, fleet.mqtt_port, tmp_path):
        side = BrokerSide(fleet, fleet.mqtt_port)
        side.mute = True  # the broker takes everything, the server hears nothing of it
        side.retain(fleet.want(far_device.publish("1.0.0"), rollout="r1", seconds=0.3))
        far_device.start()
        far_device.wait_for(lambda: _answers(far_device), "1.0.0 serves")
        far_device.wait_for(lambda: "COMMITTED" in fleet.phases("r1"), "it is told over HTTPS")
        assert fleet.phases("r1")[0] == "RESOLVING", "in order from the first"
        side.mute = False
        side.retain(fleet.want(far_device.publish("2.0.0"), rollout="r2", seconds=0.3))
        far_device.wait_for(lambda: "COMMITTED" in fleet.phases("r2"), "the server listens again")
        phases = fleet.phases("r1")
        assert len(phases) == len(set(phases)), "what came both ways is counted once"
        far_device.kill()
        far_device.wait_for(lambda: not side.status[-1].online, "the last will tells that it is gone")
        side.close()


def _answers(device: Device) -> bool:
    try:
        return device.ask(1.0) == 1.0
    except (OSError, AssertionError):
        return False
