"""The error tree: codes are unique, families decide exit code and status, nothing is lost in JSON."""

from __future__ import annotations

import pytest

from limosa_contracts.cli_errors import render_error
from limosa_contracts.errors import (
    FaultError,
    InvalidField,
    LimosaError,
    NotAuthorised,
    RequestError,
    SignatureMismatch,
    TransferError,
    TrustError,
    Unreachable,
    VerdictError,
    known_errors,
)


def test_second_class_with_a_taken_code_is_refused_when_it_is_made() -> None:
    with pytest.raises(TypeError, match="LM-203"):
        type("Another", (TrustError,), {"code": "LM-203", "__qualname__": "Another"})
    assert known_errors()["LM-203"] is SignatureMismatch


@pytest.mark.parametrize(
    ("family", "exit_code", "http_status"),
    [
        (TrustError, 5, 403),
        (TransferError, 6, 503),
        (RequestError, 2, 422),
        (NotAuthorised, 4, 403),
        (VerdictError, 3, 409),
        (FaultError, 1, 500),
    ],
)
def test_family_says_what_the_caller_sees(
    family: type[LimosaError], exit_code: int, http_status: int
) -> None:
    assert (family.exit_code, family.http_status) == (exit_code, http_status)


def test_error_carries_its_fields_into_json_and_into_its_message() -> None:
    error = InvalidField("it is wrong", where="gate.threshold", why="0 < x", hint="0.1", evidence={"got": 0})
    assert error.as_json() == {
        "code": "LM-410",
        "what": "it is wrong",
        "where": "gate.threshold",
        "why": "0 < x",
        "hint": "0.1",
        "evidence": {"got": 0},
    }
    assert str(error) == "gate.threshold: it is wrong (0 < x)"


def test_hint_of_the_class_is_used_where_an_error_gives_none() -> None:
    assert Unreachable("no answer").hint == Unreachable.default_hint
    assert Unreachable("no answer", hint="start it").hint == "start it"


def test_rendered_error_cannot_steer_the_terminal() -> None:
    shown = render_error(InvalidField("device \x1b[2J\x07name", where="a\rb\u202e", why="x\ny"))
    assert "\\x1b[2J\\x07name" in shown
    assert "a\\rb\\u202e" in shown
    assert "  why: x\n    y" in shown


def test_evidence_cannot_be_changed_afterwards() -> None:
    evidence = {"expected": 1}
    error = InvalidField("x", evidence=evidence)
    evidence["expected"] = 2
    assert error.evidence["expected"] == 1
