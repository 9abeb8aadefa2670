"""What a team signs of evidence: read strictly, written as it was agreed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidField, LimosaError
from limosa_contracts.evidence_statement import EvidenceStatement
from tests.support.golden import GONE, LATER, changed_bytes, golden, golden_bytes

NAME = "evidence_statement-1"


def test_agreed_statement_is_read_and_written_as_it_was() -> None:
    statement = EvidenceStatement.parse(golden_bytes(NAME))
    assert str(statement.release) == "demo/motion@1.0.0"
    assert statement.encode() == golden_bytes(NAME)


def test_what_a_later_version_adds_is_kept() -> None:
    later = json.dumps({**golden(NAME), **LATER}).encode()
    assert json.loads(EvidenceStatement.parse(later).encode()) == {**golden(NAME), **LATER}


@pytest.mark.parametrize(
    "path, value",
    [
        ("schema", "limosa.evidence-statement/2"),
        ("subject", "sha256:11"),
        ("subject", GONE),
        ("release", "motion"),
        ("files", {"a": "md5:1"}),
        ("files", [1]),
    ],
)
def test_what_does_not_hold_is_refused(path: str, value: object) -> None:
    with pytest.raises(InvalidField):
        EvidenceStatement.parse(changed_bytes(NAME, path, value))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_statement_or_a_coded_error(data: bytes) -> None:
    try:
        EvidenceStatement.parse(data)
    except LimosaError as error:
        assert error.code
