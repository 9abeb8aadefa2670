"""A mirror in a folder brings what the server would; a hostile stick brings nothing (trust 3.5)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.fetch.limits import FetchLimits
from limosa_agent.fetch.mirror_config import MirrorConfig
from limosa_agent.fetch.mirror_source import MirrorSource
from limosa_agent.fetch.mirror_use import FOUND_MAX, MirrorUse, find_mirrors
from limosa_contracts.json_value import JsonObject
from limosa_contracts.mirror import MARKER_FILE, MirrorMarker, blob_file, desired_file
from tests.agent.fetch.world import Answer, Published, World
from tests.support.mirror_folder import write_mirror

NOWHERE = "https://fleet.invalid"


class Stick:
    """A mirror of the world's server, and a device that only has the mirror."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder

    def write(self, **more: object) -> Path:
        desired = {"dev-test": b'{"a": "desired document"}'}
        return write_mirror(self.folder, self.world.server.files, desired=desired)

    def fetch(self, release: Published | None = None, **changes: object) -> Answer:
        more = {"server": NOWHERE, "mirror": str(self.folder), "device": "dev-test", **changes}
        return self.world.fetch(release, **more)  # type: ignore[arg-type]  # keywords of a JSON object

    def blob(self, release: Published) -> Path:
        return self.folder / blob_file(release.blob("model.onnx"))

    def metadata(self, name: str) -> Path:
        return self.folder / "tuf" / "metadata" / name


@pytest.fixture
def stick(world: World, tmp_path: Path) -> Stick:
    return Stick(world, tmp_path / "stick")


def test_a_release_is_installed_from_a_stick_and_not_one_request_is_made(world: World, stick: Stick) -> None:
    one = world.publish("1.0.0")
    stick.write()
    refreshed = stick.fetch()
    assert refreshed.result["desired"] == '{"a": "desired document"}'
    assert "BEGIN PUBLIC KEY" in str(refreshed.result["director_pem"])
    done = stick.fetch(one)
    assert done.result["manifest_sha256"] == one.manifests["int8"]
    assert (done.result["bytes"], done.result["transfer"]) == (0, {"bytes": 0, "way": "mirror"})
    assert (Path(str(done.result["directory"])) / "model.onnx").read_bytes() == b"weights of 1.0.0" * 50
    assert world.server.asked == []


def test_a_download_that_the_network_began_is_finished_from_a_stick(world: World, stick: Stick) -> None:
    from tests.support.hostile_server import cut_off_at

    one = world.publish("1.0.0")
    world.server.tricks[one.blob("model.onnx")] = cut_off_at(300)
    assert world.fetch(one).failed("transfer", "LM-591")
    stick.write()
    assert not stick.fetch(one).error
    assert world.model.release(one.manifests["int8"]).is_dir()


def link_file(stick: Stick, one: Published) -> None:
    """The link leads to the right bytes: it is refused for being one."""
    blob = stick.blob(one)
    blob.rename(stick.folder / "elsewhere")
    blob.symlink_to(stick.folder / "elsewhere")


def link_folder(stick: Stick, one: Published) -> None:
    (stick.folder / "blobs").rename(stick.folder / "moved")
    (stick.folder / "blobs").symlink_to(stick.folder / "moved")


def link_marker_to_secret(stick: Stick, one: Published) -> None:
    (stick.folder / MARKER_FILE).unlink()
    (stick.folder / MARKER_FILE).symlink_to(stick.world.state.root)


def pipe(stick: Stick, one: Published) -> None:
    """Opening it would wait for ever for somebody who writes."""
    stick.blob(one).unlink()
    os.mkfifo(stick.blob(one))


def pipe_as_timestamp(stick: Stick, one: Published) -> None:
    stick.metadata("timestamp.json").unlink()
    os.mkfifo(stick.metadata("timestamp.json"))


def folder_as_file(stick: Stick, one: Published) -> None:
    stick.blob(one).unlink()
    stick.blob(one).mkdir()


def huge_timestamp(stick: Stick, one: Published) -> None:
    """4 TiB that take no room on the stick."""
    with stick.metadata("timestamp.json").open("wb") as file:
        file.truncate(4 << 40)


def huge_blob(stick: Stick, one: Published) -> None:
    with stick.blob(one).open("ab") as file:
        file.truncate(4 << 40)


def truncated_blob(stick: Stick, one: Published) -> None:
    stick.blob(one).write_bytes(stick.blob(one).read_bytes()[:100])


def changed_blob(stick: Stick, one: Published) -> None:
    data = bytearray(stick.blob(one).read_bytes())
    data[100] ^= 1
    stick.blob(one).write_bytes(data)


def changed_timestamp(stick: Stick, one: Published) -> None:
    path = stick.metadata("timestamp.json")
    path.write_bytes(path.read_bytes().replace(b'"version"', b'"versiom"', 1))


def lost_role(stick: Stick, one: Published) -> None:
    for path in stick.metadata("").glob("*.demo-bins-*.json"):
        path.unlink()


def lost_blob(stick: Stick, one: Published) -> None:
    stick.blob(one).unlink()


def lost_marker(stick: Stick, one: Published) -> None:
    (stick.folder / MARKER_FILE).unlink()


def deep_marker(stick: Stick, one: Published) -> None:
    (stick.folder / MARKER_FILE).write_bytes(b"[" * 5000)


def no_folder(stick: Stick, one: Published) -> None:
    stick.folder.rename(stick.folder.with_name("pulled-out"))


HOSTILE: list[tuple[Callable[[Stick, Published], None], str]] = [
    (link_file, "LM-528"),
    (link_folder, "LM-528"),
    (link_marker_to_secret, "LM-528"),
    (pipe, "LM-528"),
    (pipe_as_timestamp, "LM-528"),
    (folder_as_file, "LM-528"),
    (huge_timestamp, "LM-591"),
    (huge_blob, "LM-591"),
    (truncated_blob, "LM-591"),
    (changed_blob, "LM-528"),
    (changed_timestamp, "LM-528"),
    (lost_role, "LM-589"),
    (lost_blob, "LM-589"),
    (lost_marker, "LM-528"),
    (deep_marker, "LM-528"),
    (no_folder, "LM-528"),
]


@pytest.mark.parametrize(("spoil", "code"), HOSTILE, ids=[spoil.__name__ for spoil, _ in HOSTILE])
def test_a_hostile_stick_installs_nothing_and_refuses_nothing_for_good(
    world: World, stick: Stick, spoil: Callable[[Stick, Published], None], code: str
) -> None:
    one = world.publish("1.0.0")
    stick.write()
    spoil(stick, one)
    assert stick.fetch(one).failed("transfer", code)  # kind transfer: the server is asked next
    assert not world.model.releases.exists() or not any(world.model.releases.iterdir())
    assert not world.fetch(one).error


def test_an_old_stick_takes_no_device_back(world: World, stick: Stick) -> None:
    world.publish("1.0.0")
    stick.write()
    two = world.publish("2.0.0")
    assert not world.fetch(two).error
    refused = stick.fetch(two)
    assert refused.failed("transfer", "LM-528")
    assert "version" in str(refused.error["why"])
    assert not world.fetch(two).error


def test_a_stick_that_has_expired_is_not_used(world: World, stick: Stick) -> None:
    one = world.publish("1.0.0")
    world.freeze(expires=timedelta(seconds=-1))
    stick.write()
    assert stick.fetch(one).failed("transfer", "LM-528")


def test_a_stick_of_another_fleet_is_not_used(world: World, stick: Stick, tmp_path: Path) -> None:
    one = world.publish("1.0.0")
    strange = World.make(type(world.server)(), tmp_path / "strange")
    strange.publish("1.0.0")
    write_mirror(stick.folder, strange.server.files)
    assert stick.fetch(one).failed("transfer", "LM-528")


def test_a_stick_has_no_desired_document_for_another_device(world: World, stick: Stick) -> None:
    stick.write()
    assert "desired" not in stick.fetch(device="dev-other").result
    assert stick.fetch().result["desired"]


@given(st.text(max_size=60))
def test_no_name_leads_out_of_a_mirror(name: str) -> None:
    source = MirrorSource(FetchLimits(), Path("/nowhere-at-all"))
    names = source._names(f"{source.base}/{name}")
    assert all(part not in ("", ".", "..") and "/" not in part and "\0" not in part for part in names)


@given(
    st.builds(
        MirrorMarker,
        id=st.text(min_size=1, max_size=16),
        made=st.integers(0, 2**40),
        expires=st.integers(0, 2**40),
        releases=st.lists(st.text(min_size=1, max_size=30), max_size=4).map(tuple),
        devices=st.integers(0, 2**30),
    )
)
def test_a_marker_survives_its_own_bytes(marker: MirrorMarker) -> None:
    assert MirrorMarker.parse(marker.encode()) == marker
    assert desired_file("dev-1") == "desired/dev-1.json"


class Nobody:
    """A supervisor to whom nothing matters."""

    def learned(self, result: JsonObject) -> None: ...
    def order(self) -> tuple[int, int]:
        return (0, 0)

    async def receive_desired(self, envelope: bytes) -> None: ...
    def source_changed(self) -> None: ...


def test_a_stick_whose_name_is_no_text_does_not_keep_the_next_one_out(world: World, tmp_path: Path) -> None:
    media = os.fsencode(tmp_path / "media")
    for name in (b"\xff-first", b"\xff-second"):
        write_mirror(Path(os.fsdecode(media + b"/" + name)), {}, name=repr(name))
    write_mirror(Path(os.fsdecode(media + b"/\xff-z")), {}, name="good").rename(tmp_path / "media" / "z")
    request: JsonObject = {"server": "http://127.0.0.1:9", "state_dir": str(world.state.folder)}
    use = MirrorUse(MirrorConfig(), device="dev-1", request=lambda: dict(request), around=Nobody())
    found = find_mirrors([f"{tmp_path}/media/*"])
    assert len(found) == 3
    asyncio.run(use._take_new(found))  # raises nothing: every one of them was tried


def test_a_stick_with_folders_without_end_is_not_looked_through(tmp_path: Path) -> None:
    for number in range(3 * FOUND_MAX):
        write_mirror(tmp_path / f"m{number:03d}", {}, name=str(number))
    assert len(find_mirrors([f"{tmp_path}/*"])) == FOUND_MAX
