"""Reads the numbers of MQTT 5 that take one to four bytes, seven bits in each. No I/O."""

from __future__ import annotations

from typing import Final

from paho.mqtt.exception import MalformedPacket

BYTES_MAX: Final = 4


def parse_varint(data: bytes, at: int) -> tuple[int, int] | None:
    """(number, where what follows begins); None if it is not all there. Raises MalformedPacket for a fifth
    byte.

    >>> parse_varint(bytes.fromhex("c102"), 0), parse_varint(b"\\xc1", 0)
    ((321, 2), None)
    """
    number = shift = 0
    for place in range(at, min(at + BYTES_MAX, len(data))):
        digit = data[place]
        number |= (digit & 0x7F) << shift
        if digit < 0x80:
            return number, place + 1
        shift += 7
    if shift == 7 * BYTES_MAX:
        raise MalformedPacket("a number has more than four bytes")
    return None
