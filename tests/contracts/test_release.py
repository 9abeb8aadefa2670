from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidField
from limosa_contracts.release import ReleaseCustom
from tests.support import documents as some
from tests.support.golden import GONE, LATER, changed, golden

customs = st.builds(
    ReleaseCustom,
    release_counter=st.integers(1, 2**62),
    may_return_to=st.lists(some.versions, max_size=4).map(tuple),
    min_agent=some.versions,
    extra=some.extras,
)


def test_golden_release_is_read_and_written_as_it_was() -> None:
    custom = ReleaseCustom.parse(golden("release-1"))
    assert (custom.release_counter, custom.may_return_to) == (1767225600, ("1.0.0", "2.0.0"))
    assert custom.as_json() == golden("release-1")


def test_field_of_a_later_version_survives() -> None:
    document = changed("release-1", "x-later", LATER["x-later"])
    assert ReleaseCustom.parse(document).as_json() == document


@given(customs)
def test_any_release_comes_back_as_it_went(custom: ReleaseCustom) -> None:
    assert ReleaseCustom.parse(custom.as_json()) == custom


@pytest.mark.parametrize("place, value", [
    ("schema", GONE), ("release_counter", 0), ("release_counter", "1"), ("release_counter", GONE),
    ("may_return_to", "1.0.0"), ("may_return_to", ["newest"]), ("may_return_to", ["1.0.0"] * 65),
    ("min_agent", "latest"),
])  # fmt: skip
def test_field_that_is_wrong_is_named(place: str, value: object) -> None:
    with pytest.raises(InvalidField) as caught:
        ReleaseCustom.parse(changed("release-1", place, value))
    assert caught.value.where.startswith("custom")


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidField):
        ReleaseCustom.parse(None)
