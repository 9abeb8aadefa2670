"""Our reader of PUBLISH packets says what paho's says, and never anything but that."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from limosa_server.mqtt.publish_packet import expiry_property, parse_publish

NO_MARK = st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\ufeff")
WORDS = st.text(NO_MARK, max_size=12)


def packed(properties: Properties) -> bytes:
    data: bytes = properties.pack()  # type: ignore[no-untyped-call]  # paho has no types here
    return data


@given(
    topic=WORDS,
    mid=st.integers(1, 65535),
    pairs=st.lists(st.tuples(WORDS, WORDS), max_size=5),
    expiry=st.none() | st.integers(0, 2**32 - 1),
    correlation=st.none() | st.binary(max_size=9),
    answer_to=st.none() | WORDS,
    payload=st.binary(max_size=40),
    qos=st.sampled_from([0, 1]),
)
def test_what_paho_writes_is_read(
    topic: str, mid: int, pairs: list[tuple[str, str]], expiry: int | None, correlation: bytes | None,
    answer_to: str | None, payload: bytes, qos: int,
) -> None:  # fmt: skip
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho has no types here
    if pairs:
        properties.UserProperty = pairs
    if expiry is not None:
        properties.MessageExpiryInterval = expiry
    if correlation is not None:
        properties.CorrelationData = correlation
    if answer_to is not None:
        properties.ResponseTopic = answer_to
    name = topic.encode()
    packet = len(name).to_bytes(2, "big") + name + (mid.to_bytes(2, "big") if qos else b"")
    read = parse_publish(packet + packed(properties) + payload, qos=qos)
    assert (read.topic, read.mid, read.payload) == (topic, mid if qos else 0, payload)
    assert read.properties == tuple(pairs)


@given(packet=st.binary(max_size=60), qos=st.sampled_from([0, 1]))
@example(packet=b"\0\0\0\1\x05&\0\1a\0", qos=1)
@example(packet=b"\0\0\0\1\xff\xff\xff\xff\x01", qos=1)
@example(packet=b"\0\0\0\1\x02\x0b\x80", qos=1)
def test_no_bytes_whatever_are_read_past_their_end(packet: bytes, qos: int) -> None:
    try:
        read = parse_publish(packet, qos=qos)
    except MalformedPacket:
        return
    assert packet.endswith(read.payload)


def test_a_byte_order_mark_is_a_character_like_any_other() -> None:
    mark = "\ufeff".encode()
    pair = b"&\0\x01a" + len(mark).to_bytes(2, "big") + mark
    assert parse_publish(b"\0\x01t" + bytes([len(pair)]) + pair, qos=0).properties == (("a", "\ufeff"),)


@pytest.mark.parametrize("seconds", [0, 60, 2**32 - 1])
def test_an_expiry_is_packed_as_paho_packs_it(seconds: int) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # as above
    properties.MessageExpiryInterval = seconds
    assert expiry_property(seconds) == packed(properties)
