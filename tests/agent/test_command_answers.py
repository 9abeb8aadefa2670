"""What a device answers to an operator fits into one message and holds no secret (server 3.1, trust 7.4)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from limosa_agent.control.commands import LINE_MAX_CHARS, bounded, without_secrets
from limosa_agent.link.connection_number import SECONDS_MAX, connection_number
from limosa_contracts.device_command import ANSWER_MAX_BYTES, CommandAnswer, Outcome
from limosa_contracts.dsse import Envelope
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.signing_keys import Algorithm, SigningKey
from tests.support import documents as some


def answer(body: JsonObject) -> CommandAnswer:
    return CommandAnswer(id="c1", device="dev-1", at=1.0, outcome=Outcome.DONE, body=body)


def test_of_a_log_that_is_too_large_the_newest_lines_come() -> None:
    lines: list[JsonValue] = [{"number": i, "message": "x" * 1000} for i in range(500)]
    cut = bounded(answer({"lines": lines}))
    kept = cut.body["lines"]
    assert cut.cut
    assert isinstance(kept, list)
    assert 20 < len(kept) < 44
    assert kept[-1] == lines[-1]
    assert len(cut.encode()) <= ANSWER_MAX_BYTES
    signed = Envelope.sign(cut.encode(), payload_type="x", key=SigningKey.generate(Algorithm.P256))
    assert len(signed.encode()) <= LIMITS.mqtt_message_max_bytes


def test_an_answer_that_fits_is_whole() -> None:
    whole = answer({"lines": [{"message": "x"}], "more": 1})
    assert bounded(whole) == whole


def test_what_cannot_be_cut_is_left_out() -> None:
    cut = bounded(answer({"lines": ["x" * 100_000], "other": "y" * 100_000}))
    assert (cut.cut, cut.body) == (True, {})


@settings(max_examples=50)
@given(st.lists(st.text(max_size=3000), max_size=60), some.json_objects)
def test_no_answer_is_larger_than_a_message(lines: list[str], more: JsonObject) -> None:
    body = {**more, "lines": [line.encode(errors="replace").decode() for line in lines]}
    assert len(bounded(answer(body)).encode()) <= ANSWER_MAX_BYTES


def test_secrets_are_taken_out_wherever_they_stand() -> None:
    hidden = without_secrets(
        {"a": ["password=hunter2", {"b": "Bearer abcdefgh12345678"}], "n": 1, "long": "x" * 9999}
    )
    assert isinstance(hidden, dict)
    assert "hunter2" not in str(hidden)
    assert "abcdefgh12345678" not in str(hidden)
    assert hidden["n"] == 1
    assert len(str(hidden["long"])) == LINE_MAX_CHARS


@given(st.integers(0, SECONDS_MAX - 2), st.integers(0, 4000), st.integers(0, 4000), st.integers(0, 2**20 - 1))
def test_new_hardware_speaks_after_all_that_the_old_one_said(
    old: int, starts: int, others: int, connections: int
) -> None:
    before = connection_number(enrolled_at=old, boots=starts, connections=connections)
    after = connection_number(enrolled_at=old + 1, boots=others, connections=1)
    assert before < after < 2**63
    assert connection_number(enrolled_at=old, boots=starts + 1, connections=0) > before


def test_what_is_no_time_counts_as_none() -> None:
    odds: list[JsonValue] = [None, "1", -1, 1.5, SECONDS_MAX, {}]
    for odd in odds:
        assert connection_number(enrolled_at=odd, boots=1, connections=1) == 2**20 + 1
