"""Which members an artifact's tar may have, and their one order (trust 7.1, compiler 6.1)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.archive import blob_path, check_member, layout_index, members
from limosa_contracts.errors import InvalidArtifact
from limosa_contracts.oci import INDEX, LAYOUT, Descriptor, digest_of

BLOBS = {digest_of(data): data for data in (b"a", b"b", b"c")}
DESCRIPTOR = Descriptor.of(b"a", media_type=INDEX)


def test_members_are_written_in_one_order_whatever_order_blobs_come_in() -> None:
    forwards = list(members(BLOBS, DESCRIPTOR, name="demo/m", version="1.0.0"))
    backwards = dict(reversed(list(BLOBS.items())))
    assert forwards == list(members(backwards, DESCRIPTOR, name="demo/m", version="1.0.0"))
    assert [name for name, _ in forwards[:2]] == ["oci-layout", "index.json"]
    assert forwards[0][1] == LAYOUT
    assert [name for name, _ in forwards[2:]] == sorted(blob_path(digest) for digest in BLOBS)


def test_the_layouts_index_names_one_image_index_and_the_release() -> None:
    index = json.loads(layout_index(DESCRIPTOR, name="demo/m", version="1.0.0"))
    (only,) = index["manifests"]
    assert only["mediaType"] == INDEX
    assert only["annotations"]["org.opencontainers.image.ref.name"] == "1.0.0"


def test_what_is_written_may_be_read() -> None:
    for name, data in members(BLOBS, DESCRIPTOR, name="demo/m", version="1.0.0"):
        digest = check_member(name, is_file=True, is_folder=False)
        assert digest in ("", digest_of(data))


@given(st.text(max_size=120))
def test_no_other_name_is_let_in(name: str) -> None:
    with pytest.raises(InvalidArtifact):
        check_member(name, is_file=True, is_folder=False)


@pytest.mark.parametrize("name", ["blobs/sha256/" + "a" * 64, "oci-layout", "index.json"])
def test_right_name_of_a_link_or_folder_is_refused(name: str) -> None:
    for is_folder in (False, True):
        with pytest.raises(InvalidArtifact):
            check_member(name, is_file=False, is_folder=is_folder)


def test_folders_of_the_layout_are_let_in_and_hold_nothing() -> None:
    for name in ("blobs", "./blobs/", "blobs/sha256/"):
        assert check_member(name, is_file=False, is_folder=True) is None
