"""Commands of the moment and their answers on the wire (server 3.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.device_command import (
    ANSWER_MAX_BYTES,
    LEVELS,
    LINES_MAX,
    CommandAnswer,
    DeviceCommand,
    Kind,
    Outcome,
)
from limosa_contracts.errors import InvalidField, TooLarge
from limosa_contracts.limits import LIMITS
from tests.support import documents as some
from tests.support.golden import changed_bytes, golden_bytes

commands = st.builds(
    DeviceCommand,
    id=some.names,
    device=some.names,
    kind=st.sampled_from(Kind),
    issued=some.seconds,
    expires=some.seconds,
    lines=st.integers(1, LINES_MAX),
    level=st.sampled_from(LEVELS),
    model=st.just("") | some.models,
    since=st.text(st.characters(exclude_categories=["Cs"]), max_size=32),
)
answers = st.builds(
    CommandAnswer,
    id=some.names,
    device=some.names,
    at=some.seconds,
    outcome=st.sampled_from(Outcome),
    why=some.short_texts,
    cut=st.booleans(),
    body=some.json_objects,
)


def test_golden_command_and_answer_are_read_and_written_as_they_were() -> None:
    command = DeviceCommand.parse(golden_bytes("command-1"))
    assert (command.kind, command.lines, command.model) == (Kind.LOGS, 50, "demo/motion")
    assert command.encode() == golden_bytes("command-1")
    answer = CommandAnswer.parse(golden_bytes("answer-1"))
    assert (answer.outcome, answer.cut, answer.id) == (Outcome.DONE, True, command.id)
    assert answer.encode() == golden_bytes("answer-1")


def test_fields_of_a_later_version_change_nothing() -> None:
    DeviceCommand.parse(changed_bytes("command-1", "x-later", 1))
    CommandAnswer.parse(changed_bytes("answer-1", "x-later", 1))


@given(commands)
def test_any_command_comes_back_as_it_went(command: DeviceCommand) -> None:
    assert DeviceCommand.parse(command.encode()) == command


@given(answers)
def test_any_answer_comes_back_as_it_went(answer: CommandAnswer) -> None:
    assert CommandAnswer.parse(answer.encode()) == answer


@pytest.mark.parametrize("place, value", [
    ("schema", "x"), ("id", ""), ("id", "a/b"), ("device", "+"), ("kind", "run"), ("expires", -1),
    ("lines", 0), ("lines", LINES_MAX + 1), ("level", "all"), ("model", "x"), ("since", "x" * 33),
])  # fmt: skip
def test_field_of_a_command_that_is_wrong_is_named(place: str, value: object) -> None:
    with pytest.raises(InvalidField, match=place):
        DeviceCommand.parse(changed_bytes("command-1", place, value))


@pytest.mark.parametrize("place, value", [
    ("schema", "x"), ("id", None), ("device", "A"), ("outcome", "fine"), ("at", 1e12), ("why", "x" * 1025),
    ("cut", 1), ("body", []),
])  # fmt: skip
def test_field_of_an_answer_that_is_wrong_is_named(place: str, value: object) -> None:
    with pytest.raises(InvalidField, match=place):
        CommandAnswer.parse(changed_bytes("answer-1", place, value))


def test_documents_of_a_hostile_size_are_refused() -> None:
    with pytest.raises(TooLarge):
        DeviceCommand.parse(b" " * 4097)
    with pytest.raises(TooLarge):
        CommandAnswer.parse(b" " * (LIMITS.mqtt_message_max_bytes + 1))


def test_a_whole_answer_fits_into_one_message_when_it_is_signed() -> None:
    assert LIMITS.mqtt_message_max_bytes > ANSWER_MAX_BYTES * 4 / 3 + 1024
