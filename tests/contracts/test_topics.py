from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidField
from limosa_contracts.topics import SIGNED, Suffix, Topic, device_topic, every_device
from tests.support import documents as some

GOLDEN = {
    Suffix.DESIRED: "limosa/v1/d/dev-1/desired",
    Suffix.CMD: "limosa/v1/d/dev-1/cmd",
    Suffix.ANSWER: "limosa/v1/d/dev-1/answer",
    Suffix.ACK: "limosa/v1/d/dev-1/ack",
    Suffix.REPORTED: "limosa/v1/d/dev-1/reported",
    Suffix.STATUS: "limosa/v1/d/dev-1/status",
    Suffix.WINDOW: "limosa/v1/d/dev-1/tele/window",
    Suffix.EVENT: "limosa/v1/d/dev-1/evt",
}
"""What brokers' access rules are written for."""


@pytest.mark.parametrize("suffix", Suffix)
def test_topic_is_the_agreed_one(suffix: Suffix) -> None:
    assert device_topic("dev-1", suffix) == GOLDEN[suffix]
    assert every_device(suffix) == GOLDEN[suffix].replace("dev-1", "+")


@given(some.names, st.sampled_from(Suffix))
def test_any_topic_comes_back_as_it_went(device: str, suffix: Suffix) -> None:
    assert Topic.parse(str(Topic(device, suffix))) == Topic(device, suffix)


@pytest.mark.parametrize("text", [
    "", "limosa/v1/d/dev-1", "limosa/v1/d//desired", "limosa/v1/d/dev-1/", "limosa/v1/d/dev-1/tele",
    "limosa/v1/d/dev-1/tele/window/x", "limosa/v2/d/dev-1/desired", "limosa/v1/d/+/desired",
    "limosa/v1/d/#", "limosa/v1/d/<script>/evt", "limosa/v1/d/dev-1/desired\n", "x/limosa/v1/d/dev-1/evt",
])  # fmt: skip
def test_text_that_is_no_topic_is_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        Topic.parse(text)


@pytest.mark.parametrize("device", ["", "+", "#", "a/b", "A", "a b", "-a", "a" * 65])
def test_device_that_would_break_out_of_its_topic_is_refused(device: str) -> None:
    with pytest.raises(InvalidField):
        device_topic(device, Suffix.DESIRED)


def test_only_upward_topics_go_through_the_outbox_and_presence_does_not() -> None:
    assert all(suffix.upward for suffix in SIGNED)
    assert {suffix for suffix in Suffix if suffix.upward} - SIGNED == {Suffix.STATUS, Suffix.ANSWER}
    assert {suffix for suffix in Suffix if suffix.retained} == {Suffix.DESIRED, Suffix.STATUS}
