"""Packets are cut out of a stream wherever the network split it; ours are read as anybody else's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.exception import MalformedPacket

from limosa_server.mqtt.packets import cut, puback, publish
from limosa_server.mqtt.publish_packet import parse_publish

PAYLOADS = st.lists(st.sampled_from([0, 1, 90, 108, 109, 127, 128, 16_300, 16_384, 40_000]), max_size=6)


@given(sizes=PAYLOADS, splits=st.lists(st.integers(1, 20_000), min_size=1, max_size=8))
def test_a_stream_gives_the_same_packets_however_it_is_split(sizes: list[int], splits: list[int]) -> None:
    stream = b"".join(publish("limosa/v1/d/d1/ack", bytes(size), expiry_s=60) + puback(7) for size in sizes)
    found: list[tuple[int, bytes]] = []
    rest, at, turn = b"", 0, 0
    while at < len(stream):
        step = splits[turn % len(splits)]
        packets, rest = cut(rest + stream[at : at + step])
        found.extend(packets)
        at, turn = at + step, turn + 1
    assert rest == b""
    assert [first >> 4 for first, _ in found] == [3, 4] * len(sizes)
    assert [len(parse_publish(body, qos=0).payload) for first, body in found if first >> 4 == 3] == sizes
    assert {body for first, body in found if first >> 4 == 4} <= {b"\0\x07"}


def test_a_length_of_five_bytes_is_no_packet() -> None:
    with pytest.raises(MalformedPacket):
        cut(b"\x30\xff\xff\xff\xff\x01")


@given(data=st.binary(max_size=40))
def test_any_bytes_are_packets_and_a_rest_or_refused(data: bytes) -> None:
    try:
        packets, rest = cut(data)
    except MalformedPacket:
        return
    assert data.endswith(rest)
    assert sum(2 + len(body) for _, body in packets) + len(rest) <= len(data)
