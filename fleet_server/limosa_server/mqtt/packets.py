"""Packets of MQTT 5 as bytes: cut out of a stream, and the few kinds that a server writes itself. No I/O."""

from __future__ import annotations

import struct
from typing import Final

from limosa_contracts.varints import encode_varints
from limosa_server.mqtt.publish_packet import expiry_property
from limosa_server.mqtt.varint import parse_varint

PUBACK: Final = struct.Struct("!BBH")
PUBLISH_QOS_0: Final = 0x30
CONNECT: Final = 0x10
CONNECT_HEAD: Final = b"\0\4MQTT\5\2"  # version 5, a clean start


def cut(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """(first byte, what follows the length) of each packet, and the beginning of one that is not all there.

    Raises MalformedPacket.

    >>> cut(bytes((0xD0, 0, 0x40, 2, 0, 7, 0x40, 2)))
    ([(208, b''), (64, b'\\x00\\x07')], b'@\\x02')
    """
    found: list[tuple[int, bytes]] = []
    at, size = 0, len(data)
    while at + 2 <= size:
        found_length = parse_varint(data, at + 1)
        if found_length is None:
            break
        length, start = found_length
        end = start + length
        if end > size:
            break
        found.append((data[at], data[start:end]))
        at = end
    return found, data[at:]


def connect(client_id: str, *, keepalive_s: int) -> bytes:
    """With a clean start, and without a name, password or will.

    >>> connect("c", keepalive_s=10).hex()
    '100e00044d5154540502000a00000163'
    """
    name = client_id.encode()
    rest = CONNECT_HEAD + keepalive_s.to_bytes(2, "big") + b"\0" + len(name).to_bytes(2, "big") + name
    return bytes((CONNECT, *encode_varints([len(rest)]))) + rest


def puback(mid: int) -> bytes:
    """
    >>> puback(258).hex()
    '40020102'
    """
    return PUBACK.pack(0x40, 2, mid)


def publish(topic: str, payload: bytes, *, expiry_s: int) -> bytes:
    """A message of QoS 0, which nobody acknowledges.

    >>> publish("t", b"{}", expiry_s=60).hex()
    '300b00017405020000003c7b7d'
    """
    name = topic.encode()
    rest = len(name).to_bytes(2, "big") + name + expiry_property(expiry_s) + payload
    return bytes((PUBLISH_QOS_0, *encode_varints([len(rest)]))) + rest
