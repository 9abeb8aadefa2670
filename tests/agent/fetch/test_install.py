"""A release from the server onto the disk of a device (agent 2.2, 3), and what stops it (trust 2.4, 5)."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from limosa_agent.fetch.slots import read_current, switch_current, verify_release
from limosa_contracts.json_value import JsonObject
from limosa_contracts.names import ReleaseName
from limosa_contracts.oci import Requirements
from limosa_contracts.permit import DowngradePermit
from limosa_contracts.signing_keys import Algorithm, SigningKey
from tests.agent.fetch.world import World
from tests.support.hostile_server import bit_flipped, status


def test_a_release_is_fetched_verified_and_laid_out(world: World) -> None:
    one = world.publish("1.0.0", may_return_to=["0.9.0"])
    got = world.fetch(one)
    assert got.result["manifest_sha256"] == one.manifests["int8"], got.error
    assert (got.result["variant"], got.result["release_counter"]) == ("int8", 1)
    assert got.result["may_return_to"] == ["0.9.0"]
    release = verify_release(world.model.folder, one.manifests["int8"])
    assert (release.version, release.model) == ("1.0.0", "demo/motion")
    folder = world.model.release(one.manifests["int8"])
    assert got.result["directory"] == str(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json", "model.onnx", "model.sig", "release.json", "variant.txt",
    ]  # fmt: skip
    assert list(world.model.staging.iterdir()) == []
    assert read_current(world.model.folder) is None  # switching is the supervisor's
    assert "PUBLIC KEY" in world.state.director.read_text()
    assert [line["phase"] for line in got.progress][-1] == "VERIFYING"


def test_the_token_goes_to_the_registry_only_and_everything_is_asked_for_as_it_is(world: World) -> None:
    world.fetch(world.publish("1.0.0"))
    assert {asked.accept_encoding for asked in world.server.asked} == {"identity"}
    assert {asked.authorization for asked in world.server.asked_for("/v2/")} == {"Bearer device-token"}
    assert {asked.authorization for asked in world.server.asked_for("/tuf/")} == {""}


def test_a_release_that_is_there_costs_no_blob(world: World) -> None:
    one = world.publish("1.0.0")
    world.fetch(one)
    before = len(world.server.asked_for("/blobs/"))
    got = world.fetch(one)
    assert got.result["bytes"] == 0
    assert len(world.server.asked_for("/blobs/")) == before


def test_a_second_release_fetches_only_what_differs(world: World) -> None:
    big = {"data.bin": os.urandom(300_000)}
    world.fetch(world.publish("1.0.0", big))
    got = world.fetch(world.publish("1.1.0", big))
    received = got.result["bytes"]
    assert isinstance(received, int)
    assert 0 < received < 10_000


def test_the_same_variant_under_a_new_version_is_renamed_in_place(world: World) -> None:
    one = world.publish("1.0.0", {"model.onnx": b"same"})
    two = world.publish("1.0.1", {"model.onnx": b"same"})
    assert one.manifests == two.manifests
    world.fetch(one)
    assert world.fetch(two).result["bytes"] == 0
    assert verify_release(world.model.folder, two.manifests["int8"]).version == "1.0.1"


def test_a_release_that_rotted_on_disk_is_fetched_again(world: World) -> None:
    one = world.publish("1.0.0")
    world.fetch(one)
    sha = one.manifests["int8"]
    (world.model.release(sha) / "model.onnx").write_bytes(b"rotten")  # its blob is the same inode
    got = world.fetch(one)
    assert not got.error, got.error
    verify_release(world.model.folder, sha)
    assert not list(world.model.staging.iterdir())


def test_what_an_older_attempt_left_in_staging_is_cleaned(world: World) -> None:
    (world.model.staging / ("e" * 64)).mkdir(parents=True)
    (world.model.staging / f"{'f' * 64}.part").write_bytes(b"half")
    world.fetch(world.publish("1.0.0"))
    assert list(world.model.staging.iterdir()) == []


# trust


def test_a_model_signed_with_another_key_never_reaches_a_slot(world: World) -> None:
    evil = SigningKey.generate(Algorithm.P256)
    got = world.fetch(world.publish("1.0.0", oms_key=evil))
    assert got.failed("trust", "LM-203")
    assert not list(world.model.releases.iterdir())


def test_a_model_without_a_signature_is_refused_before_its_weights_are_fetched(world: World) -> None:
    got = world.fetch(world.publish("1.0.0", signed=False))
    assert got.failed("trust", "LM-585")
    assert not world.server.asked_for("/blobs/")


def test_a_release_that_another_key_listed_is_refused(world: World) -> None:
    got = world.fetch(world.publish("1.0.0", tuf_key=world.offline_key("targets.pem")))
    assert got.failed("trust", "LM-582")
    assert got.error["reason"] == "untrusted"


def test_the_top_role_alone_cannot_give_an_install(world: World) -> None:
    one = world.publish("1.0.0")
    name = ReleaseName.parse("demo/motion@9.0.0")
    index = next(data for path, data in world.server.files.items() if one.index_sha256 in path)
    custom: JsonObject = {"schema": "limosa.release/1", "release_counter": 9}
    sha = world.list_target(name, index, custom, key=world.offline_key("targets.pem"), role="targets")
    assert world.fetch(replace(one, name=name, index_sha256=sha)).failed("trust", "LM-582")


def test_another_release_than_the_desired_is_refused(world: World) -> None:
    one = world.publish("1.0.0")
    assert world.fetch(replace(one, index_sha256="a" * 64)).failed("trust", "LM-584")


def test_a_release_that_nobody_signed_is_refused(world: World) -> None:
    one = world.publish("1.0.0")
    unknown = replace(one, name=ReleaseName.parse("demo/motion@7.7.7"))
    assert world.fetch(unknown).failed("trust", "LM-583")
    foreign = replace(one, name=ReleaseName.parse("nobody/motion@1.0.0"))
    assert world.fetch(foreign).failed("trust", "LM-583")


def test_a_lower_release_counter_is_refused_but_for_the_two_exceptions(world: World) -> None:
    one = world.publish("1.0.0")
    two = world.publish("2.0.0", may_return_to=["1.0.0"])
    world.fetch(two)
    switch_current(world.model.folder, two.manifests["int8"])
    refused = world.fetch(one, committed_counter=2)
    assert refused.failed("trust", "LM-580")
    assert refused.error["reason"] == "downgrade"
    assert not world.fetch(one, committed_counter=2, running_may_return_to=["1.0.0"]).error
    assert not world.fetch(two, committed_counter=2).error


def test_a_downgrade_permit_of_the_team_names_both_versions(world: World) -> None:
    one, two = world.publish("1.0.0"), world.publish("2.0.0")
    world.fetch(two)
    switch_current(world.model.folder, two.manifests["int8"])
    permit = DowngradePermit(model="demo/motion", from_version="2.0.0", to_version="1.0.0")

    def envelope(permit: DowngradePermit, key: SigningKey) -> JsonObject:
        value: JsonObject = json.loads(permit.sign(key).encode())
        return value

    good = envelope(permit, world.team_key)
    by_another = envelope(permit, SigningKey.generate(Algorithm.P256))
    for_another = envelope(replace(permit, from_version="3.0.0"), world.team_key)
    for wrong in (by_another, for_another):
        assert world.fetch(one, committed_counter=2, permit=wrong).failed("trust", "LM-580")
    assert not world.fetch(one, committed_counter=2, permit=good).error


def test_a_release_for_a_newer_agent_is_refused(world: World) -> None:
    assert world.fetch(world.publish("1.0.0", min_agent="99.0.0")).failed("request", "LM-587")


def test_a_quarantined_variant_is_not_fetched_again(world: World) -> None:
    one = world.publish("1.0.0")
    got = world.fetch(one, quarantined=[one.manifests["int8"]])
    assert got.failed("request", "LM-588")
    assert not world.server.asked_for("/manifests/")


def test_the_first_variant_that_fits_is_taken(world: World) -> None:
    variants = {
        "arm": Requirements(architectures=("aarch64",)),
        "int8": Requirements(),
        "fp32": Requirements(),
    }
    one = world.publish("1.0.0", variants=variants)
    assert world.fetch(one).result["variant"] == "int8"


def test_a_device_that_meets_no_requirement_hears_which(world: World) -> None:
    one = world.publish("1.0.0", variants={"arm": Requirements(architectures=("aarch64",))})
    got = world.fetch(one)
    assert got.failed("request", "LM-586")
    assert got.error["reason"] == "no_fitting_variant"
    assert "aarch64" in str(got.error["evidence"])


@pytest.mark.parametrize("what", ["manifests/", "index.json", "director.json"])
def test_a_changed_document_is_refused(world: World, what: str) -> None:
    one = world.publish("1.0.0")
    world.server.tricks[what] = bit_flipped
    assert world.fetch(one).failed("trust", "LM-202")


def test_a_blob_that_stays_wrong_is_refused_and_leaves_nothing(world: World) -> None:
    one = world.publish("1.0.0")
    world.server.tricks[one.blob("model.onnx")] = bit_flipped
    assert world.fetch(one).failed("trust", "LM-202")
    assert len(world.server.asked_for(one.blob("model.onnx"))) == 2
    assert not list(world.model.releases.iterdir())
    assert not list(world.model.staging.iterdir())
    world.server.tricks.clear()
    assert not world.fetch(one).error


def test_a_server_in_trouble_is_asked_again_later(world: World) -> None:
    one = world.publish("1.0.0")
    for path in ("timestamp.json", "manifests/", "/blobs/"):
        world.server.tricks = {path: status(503)}
        assert world.fetch(one).failed("transfer", "LM-589")
    world.server.tricks = {}
    assert not world.fetch(one).error


def test_a_refresh_alone_gives_the_director_and_the_floor(world: World) -> None:
    got = world.fetch(None)
    assert "PUBLIC KEY" in str(got.result["director_pem"])
    floor = got.result["time_floor"]
    assert isinstance(floor, float)
    assert floor > 1_700_000_000
    assert got.result["clock_suspect"] is False


def test_a_request_that_makes_no_sense_is_answered(world: World) -> None:
    assert world.fetch(None, op="format").failed("request", "LM-410")
    assert world.fetch(None, server="http://example.org").failed("request", "LM-410")
    assert world.fetch(world.publish("1.0.0"), index_sha256="../x").failed("request", "LM-410")
