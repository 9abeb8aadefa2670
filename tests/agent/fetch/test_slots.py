"""Slots on disk: the link, the digests, the garbage (agent 3)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from limosa_agent.fetch.errors import ReleaseBroken
from limosa_agent.fetch.paths import ModelPaths, StatePaths
from limosa_agent.fetch.slots import (
    InstalledRelease,
    collect,
    installed,
    read_current,
    switch_current,
    try_lock,
    verify_release,
)
from limosa_contracts.names import ModelName
from limosa_contracts.oci import CONFIG, FILEPATH, WEIGHT, Descriptor, Manifest


def put_release(model: ModelPaths, version: str, weights: bytes) -> str:
    """A release as installation leaves it."""
    layer = Descriptor.of(weights, media_type=WEIGHT, annotations={FILEPATH: "model.onnx"})
    manifest = Manifest(config=Descriptor.of(b"{}", media_type=CONFIG), layers=(layer,)).encode()
    sha = hashlib.sha256(manifest).hexdigest()
    folder = model.release(sha)
    folder.mkdir(parents=True)
    model.state.blobs.mkdir(parents=True, exist_ok=True)
    blob = model.state.blob(layer.sha256)
    blob.write_bytes(weights)
    (folder / "model.onnx").hardlink_to(blob)
    (folder / "manifest.json").write_bytes(manifest)
    release = InstalledRelease(
        model="demo/motion",
        version=version,
        index_sha256="0" * 64,
        manifest_sha256=sha,
        variant="int8",
        release_counter=1,
        may_return_to=(),
        size_bytes=len(weights),
    )
    (folder / "release.json").write_bytes(release.encode())
    return sha


@pytest.fixture
def model(tmp_path: Path) -> ModelPaths:
    return StatePaths(tmp_path).model(ModelName("demo", "motion"))


def test_a_new_device_has_no_current_release(model: ModelPaths) -> None:
    assert read_current(model.folder) is None
    assert installed(model.folder) == ()


def test_switching_twice_to_a_release_is_like_once(model: ModelPaths) -> None:
    one, two = put_release(model, "1.0.0", b"one"), put_release(model, "2.0.0", b"two")
    for sha in (one, two, two, one):
        switch_current(model.folder, sha)
        assert read_current(model.folder) == sha
        assert (model.current / "model.onnx").is_file()


def test_a_link_that_a_crash_left_half_made_does_not_stop_the_next_switch(model: ModelPaths) -> None:
    sha = put_release(model, "1.0.0", b"one")
    (model.folder / "current.new").symlink_to("releases/none")
    switch_current(model.folder, sha)
    assert read_current(model.folder) == sha


@pytest.mark.parametrize("sha", ["../../../etc", "f" * 64, ""])
def test_nothing_but_an_installed_release_can_become_current(model: ModelPaths, sha: str) -> None:
    put_release(model, "1.0.0", b"one")
    with pytest.raises(ReleaseBroken):
        switch_current(model.folder, sha)
    assert read_current(model.folder) is None


def test_a_link_out_of_the_folder_is_no_release(model: ModelPaths, tmp_path: Path) -> None:
    model.folder.mkdir(parents=True)
    model.current.symlink_to(tmp_path)
    assert read_current(model.folder) is None


def test_a_whole_release_is_verified(model: ModelPaths) -> None:
    sha = put_release(model, "1.2.0", b"weights")
    assert verify_release(model.folder, sha).version == "1.2.0"


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "release.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "link"])
def test_a_damaged_file_is_found_at_start(model: ModelPaths, name: str, damage: str) -> None:
    sha = put_release(model, "1.2.0", b"weights")
    file = model.release(sha) / name
    data = file.read_bytes()
    if damage == "flip":
        file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    elif damage == "cut":
        file.write_bytes(data[:-1])
    else:
        file.unlink()
        if damage == "link":
            elsewhere = model.folder / "elsewhere"
            elsewhere.write_bytes(data)
            file.symlink_to(elsewhere)
    with pytest.raises(ReleaseBroken):
        verify_release(model.folder, sha)


def test_garbage_is_collected_but_never_what_is_current(model: ModelPaths) -> None:
    one, two, three = (put_release(model, f"{n}.0.0", b"%d" % n) for n in (1, 2, 3))
    switch_current(model.folder, three)
    assert collect(model.folder, keep={two}) == (one,)
    assert set(installed(model.folder)) == {two, three}
    assert len(list(model.state.blobs.iterdir())) == 2
    assert list(model.staging.iterdir()) == []
    verify_release(model.folder, two)


def test_a_blob_that_another_model_shares_stays(model: ModelPaths) -> None:
    other = model.state.model(ModelName("demo", "other"))
    mine, theirs = put_release(model, "1.0.0", b"same"), put_release(other, "1.0.0", b"same")
    assert collect(model.folder, keep=()) == (mine,)
    assert len(list(model.state.blobs.iterdir())) == 1
    verify_release(other.folder, theirs)


def test_blobs_stay_while_a_download_runs(model: ModelPaths) -> None:
    sha = put_release(model, "1.0.0", b"one")
    with try_lock(model.state) as held:
        assert held
        assert collect(model.folder, keep=()) == (sha,)
        assert len(list(model.state.blobs.iterdir())) == 1
    assert collect(model.folder, keep=()) == ()
    assert list(model.state.blobs.iterdir()) == []
