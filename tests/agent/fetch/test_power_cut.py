"""The power goes at each file operation of an installation and a refresh, one after the other (agent 8)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from limosa_agent.fetch.durable import DISK, Disk
from limosa_agent.fetch.main import fetch
from limosa_agent.fetch.request import FetchRequest
from limosa_agent.fetch.slots import (
    collect,
    installed,
    read_current,
    switch_current,
    verify_release,
)
from tests.agent.fetch.world import Published, World
from tests.support.hostile_server import hostile_server


class PowerCut(BaseException):
    """Not an Exception: nothing in the code under test may catch it and tidy up."""


class FailingDisk(Disk):
    """Stops before its n-th operation; a write may leave half of a file under the temporary name."""

    def __init__(self, operations: int) -> None:
        self.left = operations

    def _step(self) -> None:
        if self.left == 0:
            raise PowerCut
        self.left -= 1

    def write(self, path: Path, data: bytes) -> None:
        if self.left == 0:
            path.write_bytes(data[: len(data) // 2])  # torn: the fsync did not return
        self._step()
        super().write(path, data)

    def sync_folder(self, path: Path) -> None:
        self._step()
        super().sync_folder(path)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        self._step()
        super().link(source, target)

    def symlink(self, text: str, link: Path) -> None:
        self._step()
        super().symlink(text, link)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)


def cut_after(world: World, operations: int, release: Published | None) -> bool:
    """Whether the power went before the fetch was done."""
    request = FetchRequest.parse(json.dumps(world.request(release)).encode())
    try:
        fetch(request, lambda line: None, disk=FailingDisk(operations))
    except PowerCut:
        return True
    return False


def at_every_operation(tmp_path: Path) -> Iterator[tuple[World, Published, int]]:
    """A device that runs 1.0.0 and is offered 2.0.0, with the power to be cut after n operations."""
    with hostile_server() as server:
        world = World.make(server, tmp_path / "device")
        first = world.publish("1.0.0")
        assert not world.fetch(first).error
        switch_current(world.model.folder, first.manifests["int8"])
        for n in range(200):
            second = world.publish(f"2.0.{n}", {"model.onnx": os.urandom(2000)})
            yield world, second, n


def test_an_installation_cut_anywhere_is_whole_or_not_there_and_ends_well_next_time(tmp_path: Path) -> None:
    for world, release, n in at_every_operation(tmp_path):
        sha = release.manifests["int8"]
        cut = cut_after(world, n, release)
        current = read_current(world.model.folder)
        assert current is not None
        assert verify_release(world.model.folder, current).version == "1.0.0"
        if sha in installed(world.model.folder):
            verify_release(world.model.folder, sha)
        again = world.fetch(release)
        assert not again.error, (n, again.error)
        verify_release(world.model.folder, sha)
        if not cut:
            assert n > 20, "an installation has more operations than this"
            return
    pytest.fail("an installation never came to its end")


def test_a_refresh_cut_anywhere_still_refreshes_and_never_takes_a_replay(tmp_path: Path) -> None:
    with hostile_server() as server:
        world = World.make(server, tmp_path / "device")
        assert not world.fetch().error
        for n in range(100):
            timestamp = "/tuf/metadata/timestamp.json"
            old = server.files[timestamp]
            world.publish(f"3.0.{n}")
            cut = cut_after(world, n, None)
            assert (world.state.tuf / "root.json").read_bytes() == world.state.root.read_bytes()
            assert not world.fetch().error, n
            newest, server.files[timestamp] = server.files[timestamp], old
            assert world.fetch().failed("trust", "LM-582")
            server.files[timestamp] = newest
            if not cut:
                assert n > 5
                return
    pytest.fail("a refresh never came to its end")


def test_the_first_refresh_of_a_device_cut_anywhere_ends_well_next_time(tmp_path: Path) -> None:
    with hostile_server() as server:
        for n in range(100):
            world = World.make(server, tmp_path / f"device-{n}")
            cut = cut_after(world, n, None)
            assert not world.fetch().error, n
            assert (world.state.tuf / "root.json").is_file()
            if not cut:
                assert n > 15
                return
    pytest.fail("a refresh never came to its end")


def test_a_switch_cut_anywhere_points_to_the_old_or_the_new_release(tmp_path: Path) -> None:
    with hostile_server() as server:
        world = World.make(server, tmp_path / "device")
        shas = []
        for version in ("1.0.0", "2.0.0"):
            release = world.publish(version)
            assert not world.fetch(release).error
            shas.append(release.manifests["int8"])
        folder = world.model.folder
        for n in range(10):
            switch_current(folder, shas[0], disk=DISK)
            try:
                switch_current(folder, shas[1], disk=FailingDisk(n))
            except PowerCut:
                assert read_current(folder) in shas
                continue
            assert read_current(folder) == shas[1]
            return
    pytest.fail("a switch never came to its end")


def test_a_collection_cut_anywhere_leaves_whole_releases_only(tmp_path: Path) -> None:
    with hostile_server() as server:
        world = World.make(server, tmp_path / "device")
        kept = world.publish("1.0.0")
        assert not world.fetch(kept).error
        folder = world.model.folder
        switch_current(folder, kept.manifests["int8"])
        for n in range(30):
            assert not world.fetch(world.publish(f"2.0.{n}")).error
            try:
                collect(folder, keep=(), disk=FailingDisk(n))
            except PowerCut:
                for sha in installed(folder):
                    verify_release(folder, sha)
                collect(folder, keep=())
                assert installed(folder) == (kept.manifests["int8"],)
                continue
            assert n > 3
            return
    pytest.fail("a collection never came to its end")
