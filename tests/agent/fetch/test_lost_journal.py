"""The state database is lost: no device goes below what it once committed because of that (trust 2.4)."""

from __future__ import annotations

import pytest

from limosa_agent.config import AgentConfig
from limosa_agent.fetch.durable import Disk
from limosa_agent.fetch.slots import switch_current
from limosa_agent.store.floor import FILE, keep_floor, read_floor
from limosa_agent.store.journal import Journal
from limosa_agent.store.opening import open_state
from limosa_agent.store.recovery import state_from_disk
from limosa_agent.update.state import ModelState
from tests.agent.fetch.world import Published, World


def installed(world: World, *versions: str) -> dict[str, Published]:
    """Each published and on disk; the k-th has release counter k."""
    releases = {version: world.publish(version) for version in versions}
    for release in releases.values():
        assert not world.fetch(release).error
    return releases


def link(world: World, release: Published) -> None:
    switch_current(world.model.folder, release.manifests["int8"])


def recovered(world: World) -> ModelState:
    (state,) = state_from_disk(world.state.models)
    return state


def test_a_version_on_trial_does_not_become_the_committed_one(world: World) -> None:
    releases = installed(world, "1.0.0", "2.0.0")
    keep_floor(world.model.folder, 1)
    link(world, releases["2.0.0"])  # agent 3, line 6: the link is switched before the trial
    state = recovered(world)
    assert state.active is not None
    assert (state.active.version, state.committed_counter) == ("1.0.0", 1)


def test_a_version_that_was_committed_and_fell_back_late_still_is_the_floor(world: World) -> None:
    releases = installed(world, "1.0.0", "2.0.0", "3.0.0")
    keep_floor(world.model.folder, 3)
    link(world, releases["1.0.0"])
    state = recovered(world)
    assert state.active is not None
    assert (state.active.version, state.committed_counter) == ("1.0.0", 3)
    refused = world.fetch(releases["2.0.0"], committed_counter=state.committed_counter)
    assert refused.failed("trust", "LM-580")


def test_a_permitted_way_back_stays_where_it_led(world: World) -> None:
    releases = installed(world, "1.0.0", "2.0.0")
    keep_floor(world.model.folder, 2)
    keep_floor(world.model.folder, 1)
    link(world, releases["1.0.0"])
    state = recovered(world)
    assert state.active is not None
    assert (state.active.version, state.committed_counter) == ("1.0.0", 1)


def test_slots_of_an_older_agent_have_no_floor_and_are_taken_as_they_are_linked(world: World) -> None:
    releases = installed(world, "1.0.0", "2.0.0")
    link(world, releases["1.0.0"])
    state = recovered(world)
    assert state.active is not None
    assert (state.active.version, state.committed_counter) == ("1.0.0", 1)


def test_a_committed_version_whose_files_are_broken_gives_way_and_leaves_its_floor(world: World) -> None:
    releases = installed(world, "1.0.0", "2.0.0")
    keep_floor(world.model.folder, 2)
    link(world, releases["2.0.0"])
    (world.model.release(releases["2.0.0"].manifests["int8"]) / "model.onnx").write_bytes(b"rot")
    state = recovered(world)
    assert state.active is not None
    assert (state.active.version, state.committed_counter) == ("1.0.0", 2)


@pytest.mark.parametrize("text", [b"", b"-1", b"x" * 4096, b"9" * 40, b"1 2"])
def test_a_floor_that_is_no_counter_is_none(world: World, text: bytes) -> None:
    world.model.folder.mkdir(parents=True)
    (world.model.folder / FILE).write_bytes(text)
    assert read_floor(world.model.folder) is None
    keep_floor(world.model.folder, 7)
    assert read_floor(world.model.folder) == 7


def test_a_floor_is_written_once(world: World) -> None:
    class Counting(Disk):
        writes = 0

        def write(self, path: object, data: bytes) -> None:
            self.writes += 1
            super().write(path, data)  # type: ignore[arg-type]  # the path of the base class

    disk = Counting()
    world.model.folder.mkdir(parents=True)
    for counter in (0, 5, 5, 6, 6):
        keep_floor(world.model.folder, counter, disk=disk)
    assert disk.writes == 2


def test_a_model_that_was_taken_away_keeps_its_floor_when_the_database_is_lost_too(world: World) -> None:
    config = AgentConfig(server="https://fleet.example", state_dir=world.state.folder)
    world.model.folder.mkdir(parents=True)
    keep_floor(world.model.folder, 7)  # no release and no link is left: mode `absent` was obeyed
    db, lost = open_state(config)
    (state,) = Journal(db).load().values()
    db.close()
    assert lost is not None
    assert (state.active, state.committed_counter) == (None, 7)
