"""Thousands of devices in one process: real MQTT connections, real signatures, no models.

    python -m benchmarks.fleet.swarm CONFIG

CONFIG is JSON: {"host", "port", "names", "key", "mode": "fleet" | "bare", "replies", "reply_bytes"}. All
devices share one key, which spares the machine ten thousand files; each signs with it under its own name.
In mode "fleet" a device obeys what it is told: it commits the release it is asked for, and says so in an
event and in `reported`. In mode "bare" it answers each document with `replies` messages of `reply_bytes`.

Lines of JSON on stdout: {"connected": n}, {"told": n, "at": …} as documents come, both with seconds of the
machine's monotonic clock. It ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.fleet import mqtt_wire as wire
from limosa_contracts.desired import DesiredModel, DesiredState
from limosa_contracts.dsse import Envelope
from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.limits import LIMITS
from limosa_contracts.phases import Phase
from limosa_contracts.report_message import ReportMessage
from limosa_contracts.reported import Installed, Reported, ReportedModel
from limosa_contracts.signing_keys import SigningKey
from limosa_contracts.status import Status
from limosa_contracts.topics import Suffix, device_topic

READ_BYTES: Final = 65536
OPENING_MAX: Final = 400  # connections under way at once: a broker's backlog is bounded too
TELL_EVERY_S: Final = 0.2
REFUSED_S: Final = 0.1


@dataclass(slots=True)
class Device:
    name: str
    socket: socket.socket | None = None
    buffer: bytearray = field(default_factory=bytearray)
    out: bytearray = field(default_factory=bytearray)
    ready: bool = False
    counter: int = 0
    session: int = 0  # of its outbox
    presence: int = 0  # of its connection
    seq: int = 0
    number: int = 1
    running: tuple[str, str] = ("", "")  # version, index


class Swarm:
    def __init__(self, config: dict[str, Any]) -> None:
        self._place = (str(config["host"]), int(config["port"]))
        self._fleet = config["mode"] == "fleet"
        self._replies = int(config.get("replies", 0))
        self._reply = b"x" * int(config.get("reply_bytes", 0))
        self._key = SigningKey.parse(str(config["key"]).encode()) if self._fleet else None
        running = tuple(config.get("running", ("", "")))
        self._devices = [
            Device(name, running=(running[0], running[1]), session=secrets.randbits(40))
            for name in config["names"]
        ]
        self._waiting = deque(self._devices)
        self._by_fd: dict[int, Device] = {}
        self._poll = select.epoll()
        self._opening = 0
        self._again_at = 0.0
        self.connected = self.told = 0
        self.last_at = 0.0

    def run(self) -> None:
        """Until standard input ends."""
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN | select.EPOLLHUP)
        said = (0, 0)
        next_line = 0.0
        while True:
            while self._waiting and self._opening < OPENING_MAX and time.monotonic() >= self._again_at:
                self._open(self._waiting.popleft())
            for number, mask in self._poll.poll(0.05):
                if number == sys.stdin.fileno():
                    return
                self._serve(self._by_fd[number], mask)
            now = time.monotonic()
            if (self.connected, self.told) != said and now >= next_line:
                said, next_line = (self.connected, self.told), now + TELL_EVERY_S
                line = {"connected": self.connected, "told": self.told, "at": self.last_at}
                sys.stdout.write(json.dumps(line) + "\n")
                sys.stdout.flush()

    def _open(self, device: Device) -> None:
        try:
            device.socket = socket.create_connection(self._place)
        except OSError:  # the broker is away: nobody else gets in now either
            self._waiting.append(device)
            self._again_at = time.monotonic() + REFUSED_S
            return
        device.socket.setblocking(False)
        device.buffer.clear()
        self._by_fd[device.socket.fileno()] = device
        self._opening += 1
        device.presence = max(device.presence + 1, int(time.time() * 1000))
        status = Status(online=False, session=device.presence)
        will = (device_topic(device.name, Suffix.STATUS), status.encode()) if self._fleet else None
        self._poll.register(device.socket.fileno(), select.EPOLLIN)
        self._send(device, wire.connect(device.name, clean=True, will=will))

    def _serve(self, device: Device, mask: int) -> None:
        assert device.socket is not None
        if mask & select.EPOLLOUT:
            self._flush(device)
        if not mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            return
        try:
            data = device.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(device)
            return
        device.buffer += data
        for packet in wire.packets(device.buffer):
            self._take(device, packet)

    def _lost(self, device: Device) -> None:
        """Comes back at once, in the order of the losses: as a storm does."""
        assert device.socket is not None
        del self._by_fd[device.socket.fileno()]
        device.socket.close()
        device.socket = None
        if device.ready:
            self.connected -= 1
        else:
            self._opening -= 1
        device.ready = False
        device.out.clear()
        self._waiting.append(device)

    def _take(self, device: Device, packet: wire.Packet) -> None:
        if packet.kind == wire.CONNACK:
            names = (Suffix.DESIRED, Suffix.ACK) if self._fleet else (Suffix.DESIRED,)
            self._send(device, wire.subscribe(1, [device_topic(device.name, name) for name in names]))
        elif packet.kind == wire.SUBACK:
            device.ready = True
            self._opening -= 1
            self.connected += 1
            self.last_at = time.monotonic()
            if self._fleet:
                self._hello(device)
        elif packet.kind == wire.PUBLISH:
            topic, payload, number = wire.read_publish(packet)
            if number:
                self._send(device, wire.puback(number))
            if topic.endswith("/desired"):
                self._obey(device, payload)

    def _hello(self, device: Device) -> None:
        online = Status(online=True, session=device.presence)
        self._publish(device, Suffix.STATUS, online.encode(), retain=True)

    def _obey(self, device: Device, payload: bytes) -> None:
        self.told += 1
        self.last_at = time.monotonic()
        if not self._fleet:
            for _ in range(self._replies):
                self._publish(device, Suffix.EVENT, self._reply)
            return
        envelope = Envelope.parse(payload, max_bytes=2 * LIMITS.mqtt_message_max_bytes)
        desired = DesiredState.parse(envelope.payload)
        if desired.counter <= device.counter:
            return
        device.counter = desired.counter
        for model in desired.models:
            if model.index_sha256 != device.running[1]:
                device.running = (model.version, model.index_sha256)
                self._report(device, Suffix.EVENT, committed(device.name, model))
            self._report(device, Suffix.REPORTED, reported(device.name, model, desired))

    def _report(self, device: Device, suffix: Suffix, payload: bytes) -> None:
        assert self._key is not None
        before, device.seq = device.seq, device.seq + 1
        message = ReportMessage.sign(
            self._key, device=device.name, suffix=suffix, session=device.session, seq=device.seq,
            prev=before, payload=payload,
        )  # fmt: skip
        self._publish(device, suffix, payload, properties=message.properties())

    def _publish(
        self,
        device: Device,
        suffix: Suffix,
        payload: bytes,
        *,
        retain: bool = False,
        properties: list[tuple[str, str]] | None = None,
    ) -> None:
        device.number = device.number % 65535 + 1
        topic = device_topic(device.name, suffix)
        self._send(
            device,
            wire.publish(topic, payload, number=device.number, retain=retain, properties=properties or ()),
        )

    def _send(self, device: Device, data: bytes) -> None:
        device.out += data
        self._flush(device)

    def _flush(self, device: Device) -> None:
        if device.socket is None:
            return
        try:
            sent = device.socket.send(device.out) if device.out else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the next read says that it is gone
        del device.out[:sent]
        wanted = select.EPOLLIN | (select.EPOLLOUT if device.out else 0)
        self._poll.modify(device.socket.fileno(), wanted)


def committed(name: str, model: DesiredModel) -> bytes:
    return UpdateEvent(
        device=name, key=f"{model.rollout}:{model.attempt}:COMMITTED", kind="update", model=model.model,
        version=model.version, index_sha256=model.index_sha256, manifest_sha256="", rollout=model.rollout,
        attempt=model.attempt, phase=Phase.COMMITTED, reason=Reason(code="", message=""), at=time.time(),
        boot="b1",
    ).encode()  # fmt: skip


def reported(name: str, model: DesiredModel, desired: DesiredState) -> bytes:
    installed = Installed(
        version=model.version, index_sha256=model.index_sha256, manifest_sha256=model.index_sha256
    )
    return Reported(
        device=name, agent="0.1.0", boot="b1", clock="ntp", at=time.time(), desired=desired.order,
        models=(
            ReportedModel(
                model=model.model, phase=Phase.COMMITTED, active=installed, rollout=model.rollout,
                attempt=model.attempt,
            ),
        ),
        capabilities={"profile": "generic-x86-64", "arch": "x86_64"}, resources={"disk_free": 10**10},
    ).encode()  # fmt: skip


def main() -> int:
    Swarm(json.loads(Path(sys.argv[1]).read_text())).run()
    os._exit(0)  # ten thousand sockets need no farewell


if __name__ == "__main__":
    sys.exit(main())
