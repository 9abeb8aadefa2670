"""The lengths of MQTT 5: one to four bytes, however much of them has come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.exception import MalformedPacket

from limosa_contracts.varints import encode_varints
from limosa_devices.simulator.mqtt_wire import read_varint, varint
from limosa_server.mqtt.varint import parse_varint

NUMBERS = st.integers(0, 268_435_455)  # what four bytes hold


@given(number=NUMBERS, before=st.binary(max_size=3), after=st.binary(max_size=3))
def test_server_and_simulated_devices_write_and_read_the_same(
    number: int, before: bytes, after: bytes
) -> None:
    written = encode_varints([number])
    assert written == varint(number)
    data, at = before + written + after, len(before)
    assert parse_varint(data, at) == read_varint(data, at) == (number, at + len(written))


@given(number=NUMBERS)
def test_a_number_that_is_not_all_there_is_waited_for(number: int) -> None:
    for kept in range(len(written := encode_varints([number]))):
        assert parse_varint(written[:kept], 0) is None
        assert read_varint(written[:kept], 0) is None


def test_a_fifth_byte_is_refused_as_soon_as_the_fourth_promises_it() -> None:
    with pytest.raises(MalformedPacket):
        parse_varint(b"\xff\xff\xff\xff", 0)
