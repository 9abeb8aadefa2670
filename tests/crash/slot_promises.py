"""What must hold of slots, blobs and metadata in every crash state, before anything has tidied up."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from limosa_agent.fetch.durable import TEMPORARY
from limosa_agent.fetch.paths import StatePaths
from limosa_agent.fetch.slots import installed, read_current, verify_release
from limosa_agent.safe_mode import good_slots
from limosa_contracts.names import ModelName
from limosa_contracts.signing_keys import PublicKey
from tests.crash.programs import MODEL


def slots_are_whole(state_dir: Path, *, linked: Collection[str | None]) -> None:
    """agent 3: a release or a blob is whole or not there; `current` leads to one of `linked`."""
    state = StatePaths(state_dir)
    folder = state.model(ModelName.parse(MODEL)).folder
    for sha in installed(folder):
        verify_release(folder, sha)
    for blob in state.blobs.iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name, "a blob is not its digest"
    current = read_current(folder)
    assert current in linked, f"the link leads to {current}"


def something_serves(state_dir: Path, *, allowed: Collection[str]) -> str:
    """The promise: even in safe mode a verified release answers. Which one."""
    slots = list(good_slots(state_dir))
    assert [slot.model for slot in slots] == [MODEL], f"what serves is {slots}"
    assert slots[0].manifest_sha256 in allowed
    return slots[0].manifest_sha256


def metadata_is_whole(state_dir: Path, *, signed: Collection[bytes]) -> None:
    """trust 3.2: each file is one that was signed; the root is never missing."""
    tuf = StatePaths(state_dir).tuf
    for file in (*tuf.glob("*.json"), *tuf.glob("root_history/*.json")):
        assert file.read_bytes() in signed, f"{file.name} is not whole"
    assert (tuf / "root.json").is_file(), "root.json is missing"
    director = StatePaths(state_dir).director
    if director.exists():
        PublicKey.parse(director.read_bytes())


def nothing_is_left_over(state_dir: Path) -> None:
    """What an attempt that was cut had begun is gone after one that was not. (A second name of a staged
    folder may stay, its release being whole: the next installation removes it.)"""
    left = [path for path in state_dir.rglob(f"*{TEMPORARY}") if path.parent.name != "identity"]
    assert left == [], left
