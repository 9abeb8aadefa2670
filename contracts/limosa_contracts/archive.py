"""What the tar of an artifact may hold, and in which form it is written (compiler 6.1, trust 7.1).

Reading and writing files is the shells' work; here are the names, and the one canonical header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.errors import InvalidArtifact
from limosa_contracts.oci import INDEX, LAYOUT, Descriptor, digest_of

LAYOUT_FILE: Final = "oci-layout"
INDEX_FILE: Final = "index.json"
BLOB: Final = re.compile(r"blobs/sha256/([0-9a-f]{64})")
FOLDERS: Final = ("blobs", "blobs/sha256")
SUFFIX: Final = ".limosa"


def blob_path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def check_member(name: str, *, is_file: bool, is_folder: bool) -> str | None:
    """The digest of a blob member, "" for the two files of the layout, None for its folders.

    Raises InvalidArtifact for every other name and for links and devices.
    """
    plain = name.removeprefix("./").rstrip("/")
    if is_folder and plain in FOLDERS:
        return None
    match = BLOB.fullmatch(plain)
    if is_file and match:
        return "sha256:" + match[1]
    if is_file and plain in (LAYOUT_FILE, INDEX_FILE):
        return ""
    raise InvalidArtifact(
        "an archive holds something that does not belong there",
        where=repr(name[:120]),
        why="only oci-layout, index.json and blobs/sha256/<64 hex digits> are read, as regular files",
    )


def layout_index(index: Descriptor, *, name: str, version: str) -> bytes:
    """The layout's own `index.json`: exactly one descriptor, that of the image index blob."""
    annotations = {"org.opencontainers.image.ref.name": version, "org.opencontainers.image.title": name}
    descriptor = {**index.as_json(), "annotations": {**index.annotations, **annotations}}
    return encode_canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]})


def members(
    blobs: Mapping[str, bytes], index: Descriptor, *, name: str, version: str
) -> Iterator[tuple[str, bytes]]:
    """(member name, bytes) in the one order in which an archive is written."""
    yield LAYOUT_FILE, LAYOUT
    yield INDEX_FILE, layout_index(index, name=name, version=version)
    for digest in sorted(blobs):
        if digest_of(blobs[digest]) != digest:
            raise InvalidArtifact("a blob is filed under another digest", where=digest)
        yield blob_path(digest), blobs[digest]
