"""Metadata that is old, expired, replayed or forged; clocks that are wrong (trust 2, 3)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from tuf.api.metadata import Metadata, Root

from limosa_agent.fetch import time_floor
from limosa_compiler.trust import roles
from limosa_contracts.signing_keys import Algorithm, SigningKey
from tests.agent.fetch.world import World
from tests.support.hostile_server import bit_flipped


def test_a_replayed_timestamp_is_refused_and_what_was_known_stays(world: World) -> None:
    timestamp = "/tuf/metadata/timestamp.json"
    old = world.server.files[timestamp]
    world.freeze()
    assert not world.fetch().error
    known = (world.state.tuf / "timestamp.json").read_bytes()
    newest, world.server.files[timestamp] = world.server.files[timestamp], old
    assert world.fetch().failed("trust", "LM-582")
    assert (world.state.tuf / "timestamp.json").read_bytes() == known
    world.server.files[timestamp] = newest
    assert not world.fetch().error


def test_a_role_that_goes_back_in_a_newer_snapshot_is_refused(world: World) -> None:
    world.publish("1.0.0")
    assert not world.fetch().error
    name = world.bin_of(world.publish("2.0.0").name)
    assert not world.fetch().error
    world.team_roles[name].version -= 1
    world.freeze()
    assert world.fetch().failed("trust", "LM-582")


def test_expired_metadata_is_refused_and_can_be_renewed(world: World) -> None:
    world.freeze(expires=timedelta(seconds=-5))
    got = world.fetch()
    assert got.failed("trust", "LM-581")
    assert got.error["reason"] == "expired"
    world.freeze()
    assert not world.fetch().error


@pytest.mark.parametrize(
    "name", ["timestamp.json", "snapshot.json", "targets.json", "demo-bins", "demo.json"]
)
def test_a_changed_byte_of_metadata_is_refused(world: World, name: str) -> None:
    one = world.publish("1.0.0")
    world.server.tricks[name] = bit_flipped
    assert world.fetch(one).failed("trust", "LM-582")
    world.server.tricks.clear()
    assert not world.fetch(one).error


def test_metadata_signed_by_the_online_keys_of_another_fleet_is_refused(world: World) -> None:
    stranger = SigningKey.generate(Algorithm.ED25519)
    path = "/tuf/metadata/timestamp.json"
    forged = Metadata.from_bytes(world.server.files[path])
    world.server.files[path] = roles.signed(forged.signed, [stranger]).to_bytes()
    assert world.fetch().failed("trust", "LM-582")


def rotate_root(world: World, *, signers: list[SigningKey], new_root: SigningKey | None = None) -> bytes:
    """The next version of the root, optionally under another key."""
    versions = [int(p.split("/")[-1].split(".")[0]) for p in world.server.files if p.endswith(".root.json")]
    latest = max(versions)
    root = Metadata[Root].from_bytes(world.server.files[f"/tuf/metadata/{latest}.root.json"]).signed
    root.version = latest + 1
    if new_root is not None:
        for keyid in list(root.roles[Root.type].keyids):
            root.revoke_key(keyid, Root.type)
        root.add_key(roles.tuf_key(new_root.public), Root.type)
    data = roles.signed(root, signers).to_bytes()
    world.put_metadata(f"{root.version}.root.json", data)
    return data


def test_a_new_root_is_walked_to_and_kept(world: World) -> None:
    old, new = world.offline_key("root-1.pem"), SigningKey.generate(Algorithm.ED25519)
    data = rotate_root(world, signers=[old, new], new_root=new)
    assert not world.fetch().error
    assert (world.state.tuf / "root.json").read_bytes() == data
    third = rotate_root(world, signers=[new])
    assert not world.fetch().error
    assert (world.state.tuf / "root.json").read_bytes() == third
    assert len(world.server.asked_for("/2.root.json")) == 1


def test_a_root_that_the_old_key_did_not_sign_is_refused(world: World) -> None:
    new = SigningKey.generate(Algorithm.ED25519)
    assert not world.fetch().error
    known = (world.state.tuf / "root.json").read_bytes()
    rotate_root(world, signers=[new], new_root=new)
    assert world.fetch().failed("trust", "LM-582")
    assert (world.state.tuf / "root.json").read_bytes() == known


def test_a_new_director_reaches_the_device_by_the_top_role(world: World) -> None:
    first = world.fetch().result["director_pem"]
    director = SigningKey.generate(Algorithm.ED25519)
    document = json.dumps({"schema": "limosa.director/1", "pem": director.public.pem().decode()}).encode()
    top = world.team_roles["targets"]
    roles.add_target(top, "limosa/director.json", document)
    sha = top.targets["limosa/director.json"].hashes["sha256"]
    world.server.files[f"/tuf/targets/limosa/{sha}.director.json"] = document
    world.put_role("targets", top, world.offline_key("targets.pem"))
    world.freeze()
    second = world.fetch().result["director_pem"]
    assert second == director.public.pem().decode() != first
    assert world.state.director.read_text() == second


def test_a_clock_at_1970_accepts_no_expired_metadata(world: World) -> None:
    floor = world.fetch().result["time_floor"]
    world.freeze(expires=timedelta(seconds=-1))
    got = world.fetch(time_floor=floor, clock=lambda: 0.0)
    assert got.failed("transfer", "LM-597")
    assert got.error["reason"] == "clock_suspect"


def test_a_clock_at_2100_wipes_nothing_and_never_becomes_the_floor(world: World) -> None:
    floor = world.fetch().result["time_floor"]
    kept = {path.name: path.read_bytes() for path in world.state.tuf.glob("*.json")}
    assert world.fetch(time_floor=floor, clock=lambda: 4_102_444_800.0).failed("transfer", "LM-597")
    assert {path.name: path.read_bytes() for path in world.state.tuf.glob("*.json")} == kept
    after = world.fetch(time_floor=floor)
    assert isinstance(after.result["time_floor"], float)
    assert after.result["time_floor"] < datetime(2100, 1, 1, tzinfo=UTC).timestamp()


def test_the_floor_only_rises_and_only_with_a_refresh() -> None:
    now, floor = 1_900_000_000.0, 1_800_000_000.0
    assert time_floor.next_floor(reference=now, floor=floor, refreshed=False) == floor
    assert time_floor.next_floor(reference=now, floor=floor, refreshed=True) == now
    assert time_floor.next_floor(reference=floor, floor=now, refreshed=True) == now
    assert time_floor.reference_time(clock=5.0, floor=0.0) == time_floor.BUILD_TIME
    assert time_floor.clock_suspect(clock=0.0, floor=floor)
    assert not time_floor.clock_suspect(clock=floor + 3600, floor=floor)
