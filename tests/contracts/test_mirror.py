"""The marker of a mirror, and the names of what lies in one (trust 3.5)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.errors import InvalidField, InvalidJson, TooLarge
from limosa_contracts.mirror import MirrorMarker, blob_file, desired_file
from tests.support.golden import GONE, LATER, changed, golden_bytes

MARKER = MirrorMarker(
    id="5f2c9a1e77d04b36",
    made=1767225600,
    expires=1769817600,
    releases=("demo/motion@1.0.0", "vision/detector@1.4.0"),
    devices=12,
)


def test_a_mirror_of_the_first_version_is_read_and_written_as_it_was() -> None:
    assert MirrorMarker.parse(golden_bytes("mirror-1")) == MARKER
    assert MARKER.encode() == golden_bytes("mirror-1")


def test_fields_of_the_future_are_kept() -> None:
    later = replace(MARKER, extra=LATER)
    assert MirrorMarker.parse(later.encode()) == later


@pytest.mark.parametrize("field", ["schema", "id", "made", "expires", "releases", "devices"])
@pytest.mark.parametrize("value", [GONE, None, [], -1, "x" * 300])
def test_a_marker_that_lacks_or_bends_a_field_is_refused(field: str, value: object) -> None:
    if (field, value) == ("releases", []):
        return  # a mirror for devices that shall run nothing
    with pytest.raises(InvalidField):
        MirrorMarker.parse(encode_canonical(changed("mirror-1", field, value)))


@given(st.binary(max_size=200))
def test_any_other_file_is_no_marker(data: bytes) -> None:
    with pytest.raises((InvalidField, InvalidJson, TooLarge)):
        MirrorMarker.parse(data)


def test_names_are_such_that_a_stick_can_hold_them() -> None:
    names = (blob_file("ab" * 32), desired_file("dev-0017"))
    assert names == (f"blobs/sha256/{'ab' * 32}", "desired/dev-0017.json")
    assert not any(character in name for name in names for character in ':*?"<>|\\')
