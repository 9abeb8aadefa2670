"""Publishes signed reports over MQTT 5 and counts what the server acknowledges, with little work.

Packets are made before the clock starts. A device has a few messages under way and sends again from the
first that is not acknowledged, as an agent does.
"""

from __future__ import annotations

import json
import random
import selectors
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypedDict

from benchmarks.fleet.reports import Signer
from limosa_contracts.report_message import ReportMessage
from limosa_contracts.topics import Suffix, device_topic, every_device
from limosa_devices.simulator import mqtt_wire as wire

CONNECTIONS: Final = 16
UNACKED_MAX: Final = 400  # of one connection, below what the broker takes at once
AHEAD: Final = 5
AGAIN_S: Final = 2.0  # without an acknowledgement a device sends again, then after twice as long
AGAIN_MAX_S: Final = 30.0
DOUBLED: Final = 0.10
SWAPPED: Final = 0.05
PREPARED_PER_S: Final = 9000  # reports that are signed before the clock starts
DRAIN_S: Final = 60.0


class Said(TypedDict):
    reports_per_s: float
    messages_per_s: float
    seconds: float
    backlog_s: float
    again_s: float
    acked: list[int]


@dataclass(slots=True)
class Device:
    packets: list[tuple[bytes, bytes]]  # before and after the packet's number
    link: Link
    sent: int = 0
    acked: int = 0
    whole: int = 0  # up to here everything went out in order: none of it needs sending again
    heard_at: float = 0.0
    patience_s: float = AGAIN_S


@dataclass(slots=True)
class Link:
    """One connection: what goes out, and the packets that come in."""

    socket: socket.socket
    on_publish: Callable[[bytes], None]
    out: bytearray = field(default_factory=bytearray)
    coming: bytearray = field(default_factory=bytearray)
    unacked: int = 0
    number: int = 0
    published: int = 0

    def publish(self, packet: tuple[bytes, bytes]) -> None:
        self.number = self.number % 65535 + 1
        self.out += packet[0] + self.number.to_bytes(2, "big") + packet[1]
        self.unacked += 1
        self.published += 1

    def read(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise SystemExit("the broker closed a connection")
        self.coming += data
        at, coming = 0, self.coming
        while len(coming) - at >= 2:
            found = wire.read_varint(coming, at + 1)
            if found is None:
                break
            length, start = found
            if len(coming) < start + length:
                break
            kind = coming[at] >> 4
            if kind == wire.PUBACK:
                self.unacked -= 1
            elif kind == wire.PUBLISH:
                self.on_publish(bytes(coming[start : start + length]))
            at = start + length
        del coming[:at]

    def write(self) -> None:
        if self.out:
            try:
                done = self.socket.send(memoryview(self.out)[: 1 << 16])
            except BlockingIOError:
                return
            del self.out[:done]


def load(host: str, port: int, signers: Sequence[Signer], seconds: float) -> Said:
    each = max(AHEAD, int(seconds * PREPARED_PER_S / len(signers)))
    devices: dict[str, Device] = {}
    heard: list[str] = []

    def on_ack(body: bytes) -> None:
        size = int.from_bytes(body[:2], "big")
        name = body[2 : 2 + size].decode().split("/")[3]
        device = devices[name]
        seq = json.loads(body[body.index(b"{", 2 + size) :])["seq"]
        if seq > device.acked:
            device.acked, device.heard_at, device.patience_s = seq, time.monotonic(), AGAIN_S
            device.sent = max(device.sent, seq)
            device.whole = max(device.whole, seq)
            heard.append(name)

    links = [_connect(host, port, f"load-{i}", on_ack) for i in range(CONNECTIONS)]
    listener = _connect(host, port, "load-acks", on_ack)
    for i, signer in enumerate(signers):
        packets = [_packet(signer.id, signer.next()) for _ in range(each)]
        devices[signer.id] = Device(packets, links[i % CONNECTIONS])
    _subscribe(listener, every_device(Suffix.ACK))
    began = time.monotonic()
    _run([*links, listener], devices, heard, until=began + seconds)
    at_end, ended = sum(one.acked for one in devices.values()), time.monotonic()
    whole = {name: one.whole for name, one in devices.items()}
    for one in devices.values():  # nothing new; what is under way is waited for
        del one.packets[max(one.sent, one.acked) :]
    published = sum(link.published for link in links)
    last = _run([*links, listener], devices, heard, until=ended + DRAIN_S, whole=whole)
    return Said(
        reports_per_s=at_end / (ended - began),
        messages_per_s=published / (ended - began),
        seconds=ended - began,
        backlog_s=max(0.0, last - ended),
        again_s=time.monotonic() - ended,
        acked=[devices[signer.id].acked for signer in signers],
    )


def _run(
    links: Sequence[Link],
    devices: dict[str, Device],
    heard: list[str],
    *,
    until: float,
    whole: Mapping[str, int] | None = None,
) -> float:
    """Until then, or until everything is acknowledged. When the last of `whole` was: device -> up to
    which number; `until` if that did not come."""
    open_ = {name for name, number in (whole or {}).items() if devices[name].acked < number}
    last = time.monotonic() if not open_ else until
    draw = random.Random(7)
    selector = selectors.DefaultSelector()
    for link in links:
        selector.register(link.socket, selectors.EVENT_READ, link)
    waiting = list(devices)
    checked = time.monotonic()
    while (now := time.monotonic()) < until:
        waiting = [name for name in waiting if not _send(devices[name], now, draw)]
        for link in links:
            link.write()
        for key, _ in selector.select(0.002):
            key.data.read()
        waiting.extend(heard)
        if open_:
            open_ -= {name for name in heard if whole and devices[name].acked >= whole[name]}
            last = until if open_ else time.monotonic()
        heard.clear()
        if now - checked > AGAIN_S / 4:
            checked = now
            late = [name for name, one in devices.items() if _is_late(one, now)]
            for name in late:
                one = devices[name]
                one.sent = one.whole = one.acked
                one.patience_s = min(2 * one.patience_s, AGAIN_MAX_S)
            waiting.extend(late)
            if all(one.acked >= len(one.packets) for one in devices.values()):
                break
    selector.close()
    return last


def _is_late(device: Device, now: float) -> bool:
    return device.acked < device.sent and now - device.heard_at > device.patience_s


def _send(device: Device, now: float, draw: random.Random) -> bool:
    """Fills what the device may have under way; whether there was room for it."""
    if device.link.unacked >= UNACKED_MAX or len(device.link.out) > 1 << 17:
        return False
    last = min(len(device.packets), device.acked + AHEAD)
    burst = device.packets[device.sent : last]
    if burst:
        swapped = len(burst) > 1 and draw.random() < SWAPPED * (len(burst) - 1)
        if device.whole == device.sent:  # what follows a message that is missing has to come again too
            device.whole = last - 1 if swapped else last
        if swapped:
            burst[-2], burst[-1] = burst[-1], burst[-2]
        for packet in burst:
            device.link.publish(packet)
            if draw.random() < DOUBLED:
                device.link.publish(packet)
        device.sent, device.heard_at = last, now
    return True


def _connect(host: str, port: int, name: str, on_publish: Callable[[bytes], None]) -> Link:
    opened = socket.create_connection((host, port), timeout=10)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    body = wire.utf8("MQTT") + b"\x05\x02" + struct.pack("!H", 600) + b"\x00" + wire.utf8(name)
    opened.sendall(b"\x10" + wire.varint(len(body)) + body)
    answer = opened.recv(1024)
    if answer[0] >> 4 != wire.CONNACK or answer[3] != 0:
        raise SystemExit(f"the broker refuses the load: {answer!r}")
    opened.setblocking(False)
    return Link(opened, on_publish)


def _subscribe(link: Link, topic: str) -> None:
    body = b"\x00\x01\x00" + wire.utf8(topic) + b"\x00"
    link.out += b"\x82" + wire.varint(len(body)) + body
    link.write()


def _packet(device: str, message: ReportMessage) -> tuple[bytes, bytes]:
    topic = wire.utf8(device_topic(device, message.suffix))
    properties = b"".join(
        b"\x26" + wire.utf8(name) + wire.utf8(value) for name, value in message.properties()
    )
    rest = wire.varint(len(properties)) + properties + message.payload
    return b"\x32" + wire.varint(len(topic) + 2 + len(rest)) + topic, rest
