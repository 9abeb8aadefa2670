"""One line of the log: readable by machines, bounded, and without a secret (trust 7.4)."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.logs.line import MESSAGE_MAX_CHARS, json_line, redacted, text_line

CANARY = "c4n4ryS3cretC4n4ry"
GOLDEN = Path(__file__).parent / "golden" / "line.jsonl"


def record(message: str, *args: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("limosa_agent.link.mqtt", logging.WARNING, __file__, 1, message, args, None)
    made.created = 1_800_000_000.25
    made.__dict__.update(more)
    return made


def test_line_says_when_where_about_what_and_what() -> None:
    line = json_line(record("mqtt lost: %s", "gone"), device="dev-1", about=("demo/motion", "r1"))
    assert line + "\n" == GOLDEN.read_text(encoding="utf-8")
    assert "\n" not in line


def test_people_get_the_same_in_words() -> None:
    assert text_line(record("lost"), about=("demo/motion", "r1")) == (
        "2027-01-15T08:00:00.250Z warning link.mqtt demo/motion r1: lost"
    )


@pytest.mark.parametrize(
    "said",
    [
        f"token lmt_abcdef.{CANARY} is used up",
        f"Authorization: Bearer {CANARY}",
        f"authorization=Basic {CANARY}",
        f"https://user:{CANARY}@proxy.example:3128 does not answer",
        f"POST client_assertion=eyJhbGciOi.{CANARY}.{CANARY}&grant_type=x",
        f"{{'password': '{CANARY}'}}",
        f'{{"access_token":"{CANARY}","expires_in":600}}',
        f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n-----END EC PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
    ],
)
def test_secret_that_somebody_logs_is_not_written(said: str) -> None:
    assert CANARY not in redacted(said)
    try:
        raise ValueError(said)
    except ValueError:
        failed = record("it failed: %s", said, exc_info=sys.exc_info())
    assert CANARY not in json_line(failed, device="dev-1", about=("", ""))
    assert CANARY not in text_line(failed, about=("", ""))


@given(message=st.text(max_size=200), args=st.lists(st.one_of(st.text(), st.integers()), max_size=3))
def test_any_record_becomes_one_line_of_json(message: str, args: list[object]) -> None:
    value = json.loads(json_line(record(message, *args), device="dev-1", about=("", "")))
    assert value["level"] == "warning"
    assert "\n" not in json_line(record(message, *args), device="d", about=("", ""))


def test_endless_message_is_cut() -> None:
    value = json.loads(json_line(record("x" * 10**6), device="dev-1", about=("", "")))
    assert len(value["message"]) == MESSAGE_MAX_CHARS


@given(
    said=st.text(max_size=80)
    | st.sampled_from(["a\n2027-01-15T08:00:00Z info agent: all is well", "\x1b[2J"])
)
def test_words_of_a_stranger_begin_no_line_and_steer_no_terminal(said: str) -> None:
    try:
        raise ValueError(said)
    except ValueError:
        failed = record("the server said %s", said, exc_info=sys.exc_info())
    first, *others = text_line(failed, about=("", "")).split("\n")
    assert all(line.startswith("  ") for line in others)
    assert all(line.isprintable() for line in (first, *others))


def test_text_that_is_dear_to_search_for_secrets_costs_no_second() -> None:
    began = time.process_time()
    text_line(record("eyJaaaaaaaa-" * 100_000), about=("", ""))
    assert time.process_time() - began < 2.0, "a minute and a half where all of it is searched"
