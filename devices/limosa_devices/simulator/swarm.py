"""Many devices' connections in one loop.

    python -m limosa_devices.simulator.swarm CONFIG

CONFIG is JSON: {"host", "port", "names", "mode": "fleet" | "bare", …}. In mode "fleet" with "key" (PEM: all
devices share it, and each signs under its own name), "running" {model: [version, index_sha256]}, "bad"
{device: [versions]}, "wordy": devices obey documents, report, and send again what was not acknowledged.
In mode "bare" each answers a document with `replies` messages of `reply_bytes` that say nothing.

Lines of JSON on stdout: {"connected", "told", "unacked", "at"}; `at`: seconds of the machine's monotonic
clock at the last change. When standard input ends, a last line has {"acked": {device: seq}}.
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

from limosa_contracts.report_message import ReportMessage
from limosa_contracts.reported import Installed
from limosa_contracts.signing_keys import SigningKey
from limosa_contracts.status import Status
from limosa_contracts.topics import Suffix, device_topic
from limosa_devices.simulator import mqtt_wire as wire
from limosa_devices.simulator.device import SimulatedDevice

READ_BYTES: Final = 65536
# mosquitto listens with a backlog of 100, and whoever overflows it waits a second for the next attempt.
OPENING_MAX: Final = 40  # connections that one swarm has under way
TELL_EVERY_S: Final = 0.2
REFUSED_S: Final = 0.1  # pause after the broker refused a connection
AGAIN_S: Final = 15.0  # what nobody acknowledged for so long is sent again
LOOK_EVERY_S: Final = 1.0


@dataclass(slots=True)
class Link:
    """One device's connection. `device` None: it answers without understanding."""

    name: str
    device: SimulatedDevice | None
    socket: socket.socket | None = None
    buffer: bytearray = field(default_factory=bytearray)
    out: bytearray = field(default_factory=bytearray)
    ready: bool = False
    presence: int = 0
    number: int = 1
    sent_at: float = 0.0


class Swarm:
    def __init__(self, config: dict[str, Any]) -> None:
        self._place = (str(config["host"]), int(config["port"]))
        self._fleet = config["mode"] == "fleet"
        self._replies = int(config.get("replies", 0))
        self._reply = b"x" * int(config.get("reply_bytes", 0))
        self._links = [Link(name, _device(name, config) if self._fleet else None) for name in config["names"]]
        self._waiting = deque(self._links)
        self._by_fd: dict[int, Link] = {}
        self._poll = select.epoll()
        self._opening = 0
        self._again_at = 0.0
        self.connected = self.told = 0
        self.last_at = 0.0

    def run(self) -> None:
        """Until standard input ends."""
        stdin = sys.stdin.fileno()
        self._poll.register(stdin, select.EPOLLIN | select.EPOLLHUP)
        said: dict[str, object] = {}
        next_line = next_look = 0.0
        while True:
            while self._waiting and self._opening < OPENING_MAX and time.monotonic() >= self._again_at:
                self._open(self._waiting.popleft())
            for number, mask in self._poll.poll(0.05):
                if number == stdin:
                    return
                if number in self._by_fd:
                    self._serve(self._by_fd[number], mask)
            now = time.monotonic()
            if now >= next_look:
                next_look = now + LOOK_EVERY_S
                self._send_again(now)
            if now >= next_line:
                line = self._line()
                if line != said:
                    said, next_line = line, now + TELL_EVERY_S
                    tell({**line, "at": self.last_at})

    def _line(self) -> dict[str, object]:
        unacked = sum(len(link.device.outbox) for link in self._links if link.device is not None)
        return {"connected": self.connected, "told": self.told, "unacked": unacked}

    @property
    def acked(self) -> dict[str, int]:
        return {link.name: link.device.acked for link in self._links if link.device is not None}

    def _open(self, link: Link) -> None:
        try:
            link.socket = socket.create_connection(self._place)
        except OSError:  # the broker is away: nobody else gets in now either
            self._waiting.append(link)
            self._again_at = time.monotonic() + REFUSED_S
            return
        link.socket.setblocking(False)
        link.buffer.clear()
        self._by_fd[link.socket.fileno()] = link
        self._opening += 1
        link.presence = max(link.presence + 1, int(time.time() * 1000))
        will = None
        if self._fleet:
            gone = Status(online=False, session=link.presence).encode()
            will = (device_topic(link.name, Suffix.STATUS), gone)
        self._poll.register(link.socket.fileno(), select.EPOLLIN)
        self._send(link, wire.connect(link.name, clean=True, will=will))

    def _serve(self, link: Link, mask: int) -> None:
        assert link.socket is not None
        if mask & select.EPOLLOUT:
            self._flush(link)
        if not mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            return
        try:
            data = link.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(link)
            return
        link.buffer += data
        for packet in wire.packets(link.buffer):
            self._take(link, packet)

    def _lost(self, link: Link) -> None:
        """Comes back at once, in the order of the losses: a storm."""
        assert link.socket is not None
        del self._by_fd[link.socket.fileno()]
        link.socket.close()
        link.socket = None
        if link.ready:
            self.connected -= 1
        else:
            self._opening -= 1
        link.ready = False
        link.out.clear()
        self._waiting.append(link)

    def _take(self, link: Link, packet: wire.Packet) -> None:
        if packet.kind == wire.CONNACK:
            names = (Suffix.DESIRED, Suffix.ACK) if self._fleet else (Suffix.DESIRED,)
            self._send(link, wire.subscribe(1, [device_topic(link.name, name) for name in names]))
        elif packet.kind == wire.SUBACK:
            link.ready = True
            self._opening -= 1
            self.connected += 1
            self.last_at = time.monotonic()
            if link.device is not None:
                online = Status(online=True, session=link.presence)
                self._publish(link, Suffix.STATUS, online.encode(), retain=True)
                self._report(link, list(link.device.outbox))
        elif packet.kind == wire.PUBLISH:
            topic, payload, number = wire.read_publish(packet)
            if number:
                self._send(link, wire.puback(number))
            if topic.endswith(f"/{Suffix.DESIRED.value}"):
                self._obey(link, payload)
            elif link.device is not None and topic.endswith(f"/{Suffix.ACK.value}"):
                link.device.acknowledge(payload)

    def _obey(self, link: Link, payload: bytes) -> None:
        self.told += 1
        self.last_at = time.monotonic()
        if link.device is not None:
            self._report(link, link.device.obey(payload, now=time.time()))
            return
        for _ in range(self._replies):
            self._publish(link, Suffix.EVENT, self._reply)

    def _send_again(self, now: float) -> None:
        for link in self._links:
            if link.ready and link.device is not None and link.device.outbox and now - link.sent_at > AGAIN_S:
                self._report(link, list(link.device.outbox))

    def _report(self, link: Link, messages: list[ReportMessage]) -> None:
        if not link.ready:
            return
        for message in messages:
            self._publish(link, message.suffix, message.payload, properties=message.properties())
        link.sent_at = time.monotonic()

    def _publish(
        self,
        link: Link,
        suffix: Suffix,
        payload: bytes,
        *,
        retain: bool = False,
        properties: list[tuple[str, str]] | None = None,
    ) -> None:
        link.number = link.number % 65535 + 1
        topic = device_topic(link.name, suffix)
        packet = wire.publish(topic, payload, number=link.number, retain=retain, properties=properties or ())
        self._send(link, packet)

    def _send(self, link: Link, data: bytes) -> None:
        link.out += data
        self._flush(link)

    def _flush(self, link: Link) -> None:
        if link.socket is None:
            return
        try:
            sent = link.socket.send(link.out) if link.out else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the next read says that it is gone
        del link.out[:sent]
        wanted = select.EPOLLIN | (select.EPOLLOUT if link.out else 0)
        self._poll.modify(link.socket.fileno(), wanted)


def _device(name: str, config: dict[str, Any]) -> SimulatedDevice:
    running = {
        model: Installed(version=version, index_sha256=index, manifest_sha256=index)
        for model, (version, index) in config.get("running", {}).items()
    }
    return SimulatedDevice(
        name=name,
        key=SigningKey.parse(str(config["key"]).encode()),
        session=secrets.randbits(40) + 1,
        running=running,
        bad=frozenset(config.get("bad", {}).get(name, ())),
        wordy=bool(config.get("wordy")),
    )


def tell(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> int:
    swarm = Swarm(json.loads(Path(sys.argv[1]).read_text()))
    swarm.run()
    tell({"acked": swarm.acked})
    os._exit(0)  # ten thousand sockets need no farewell


if __name__ == "__main__":
    sys.exit(main())
