from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidField, TooLarge
from limosa_contracts.status import Status
from tests.support import documents as some
from tests.support.golden import changed_bytes, golden_bytes


def test_golden_status_is_read_and_written_as_it_was() -> None:
    assert Status.parse(golden_bytes("status-1")) == Status(online=True, session=42)
    assert Status(online=True, session=42).encode() == golden_bytes("status-1")


def test_field_of_a_later_version_changes_nothing() -> None:
    assert Status.parse(changed_bytes("status-1", "x-later", 1)) == Status(online=True, session=42)


@given(st.builds(Status, online=st.booleans(), session=some.counters))
def test_any_status_comes_back_as_it_went(status: Status) -> None:
    assert Status.parse(status.encode()) == status


@pytest.mark.parametrize("place, value", [
    ("schema", "x"), ("online", "yes"), ("online", 1), ("session", -1), ("session", 1.5), ("session", None),
])  # fmt: skip
def test_field_that_is_wrong_is_named(place: str, value: object) -> None:
    with pytest.raises(InvalidField, match=place):
        Status.parse(changed_bytes("status-1", place, value))


def test_last_will_of_a_hostile_size_is_refused() -> None:
    with pytest.raises(TooLarge):
        Status.parse(b" " * 4097)
