from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidField, SignatureMismatch
from limosa_contracts.report_message import Ack, ReportMessage
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_contracts.topics import SIGNED, Suffix
from tests.support import documents as some
from tests.support.golden import GOLDEN, changed, changed_bytes, golden, golden_bytes

KEY = SigningKey.parse((GOLDEN / "p256.pem").read_bytes())
numbers = st.integers(0, 2**63 - 1)


@st.composite
def messages(draw: st.DrawFn) -> ReportMessage:
    return ReportMessage.sign(
        KEY,
        device="dev-0017",
        suffix=draw(st.sampled_from(sorted(SIGNED, key=lambda suffix: suffix.value))),
        session=draw(numbers),
        seq=draw(st.integers(1, 2**63 - 1)),
        prev=draw(numbers),
        payload=draw(some.texts).encode(),
    )


def golden_message() -> ReportMessage:
    return ReportMessage.from_json(golden("report_message-1"), where="messages[0]")


def test_golden_message_verifies_and_is_written_as_it_was() -> None:
    message = golden_message()
    message.verify(KEY.public, device="dev-0017")
    assert message.as_json() == golden("report_message-1")


def test_golden_ack_is_read_and_written_as_it_was() -> None:
    assert Ack.parse(golden_bytes("ack-1")) == Ack(session=42, seq=17)
    assert Ack(session=42, seq=17).encode() == golden_bytes("ack-1")


@given(messages())
def test_any_message_comes_back_over_both_ways_and_still_verifies(message: ReportMessage) -> None:
    over_mqtt = ReportMessage.from_mqtt(
        suffix=message.suffix, properties=message.properties(), payload=message.payload
    )
    over_https = ReportMessage.from_json(message.as_json(), where="m")
    assert over_mqtt == over_https == message
    over_mqtt.verify(KEY.public, device="dev-0017")


@given(st.builds(Ack, session=numbers, seq=numbers))
def test_any_ack_comes_back_as_it_went(ack: Ack) -> None:
    assert Ack.parse(ack.encode()) == ack


@pytest.mark.parametrize("change", [
    {"suffix": Suffix.REPORTED}, {"session": 43}, {"seq": 18}, {"prev": 15}, {"payload": b"{}"}, {"sig": b""},
    {"sig": b"rubbish"},
])  # fmt: skip
def test_broker_that_changes_anything_is_found_out(change: dict[str, object]) -> None:
    forged = replace(golden_message(), **change)  # type: ignore[arg-type]  # one field each, of its own type
    with pytest.raises(SignatureMismatch):
        forged.verify(KEY.public, device="dev-0017")


def test_report_of_another_device_or_key_is_found_out() -> None:
    message = golden_message()
    with pytest.raises(SignatureMismatch):
        message.verify(KEY.public, device="dev-0018")
    with pytest.raises(SignatureMismatch):
        message.verify(SigningKey.generate(Algorithm.P256).public, device="dev-0017")


@pytest.mark.parametrize("place, value", [
    ("suffix", "desired"), ("suffix", "status"), ("seq", 0), ("seq", "1"), ("session", -1), ("prev", None),
    ("payload", ""), ("sig", "!"), ("sig", "x" * 513),
])  # fmt: skip
def test_field_that_is_wrong_is_refused(place: str, value: object) -> None:
    with pytest.raises(InvalidField):
        ReportMessage.from_json(changed("report_message-1", place, value), where="messages[0]")


@pytest.mark.parametrize("name, text", [
    ("seq", ""), ("seq", "-1"), ("seq", "1 "), ("seq", "٣"), ("session", "1e3"), ("prev", "9" * 20),
    ("sig", "!"),
])  # fmt: skip
def test_user_property_that_is_wrong_is_refused(name: str, text: str) -> None:
    properties = [(key, text if key == name else value) for key, value in golden_message().properties()]
    with pytest.raises(InvalidField):
        ReportMessage.from_mqtt(suffix=Suffix.EVENT, properties=properties, payload=b"{}")


def test_user_property_that_is_missing_or_doubled_is_refused() -> None:
    properties = golden_message().properties()
    for wrong in (properties[1:], [*properties, properties[0]]):
        with pytest.raises(InvalidField):
            ReportMessage.from_mqtt(suffix=Suffix.EVENT, properties=wrong, payload=b"{}")


def test_presence_is_no_signed_report() -> None:
    with pytest.raises(InvalidField):
        ReportMessage.from_mqtt(suffix=Suffix.STATUS, properties=golden_message().properties(), payload=b"{}")


@pytest.mark.parametrize("place, value", [("schema", "x"), ("session", -1), ("seq", "1")])
def test_ack_that_is_wrong_is_refused(place: str, value: object) -> None:
    with pytest.raises(InvalidField, match=place):
        Ack.parse(changed_bytes("ack-1", place, value))
