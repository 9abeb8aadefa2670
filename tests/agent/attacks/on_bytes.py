"""Attacks on what the metadata names: indexes, manifests, blobs, and the HTTP that carries them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from limosa_agent.fetch.slots import switch_current
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.names import ReleaseName
from limosa_contracts.oci import ImageIndex, Manifest, Requirements, digest_of
from limosa_contracts.permit import DowngradePermit
from limosa_contracts.signing_keys import SigningKey
from tests.agent.attacks.on_metadata import NETWORK, attack
from tests.agent.attacks.scene import STRANGER_P256, Scene, as_object
from tests.support.hostile_server import (
    Answering,
    bit_flipped,
    cut_off_at,
    dripping,
    endless,
    other_range,
    redirect_to,
    silent,
    whole_again,
)

TEAM: Final = "the team, careless"
CARELESS: Final = {"by": TEAM, "clause": "trust 7.1"}
OK: Final = b"HTTP/1.1 200 OK\r\n"
WRONG: Final = ("LM-202",)


def on(place: str, what: Callable[[Answering], None]) -> Callable[[Scene], None]:
    """Bends the answer for the index, the manifest or the weights of what is asked for."""

    def do(scene: Scene) -> None:
        path = {"index": scene.index_path, "manifest": scene.manifest, "weights": scene.blob}[place]()
        scene.world.server.tricks[path] = what

    return do


def half_there(then: Callable[[Answering], None]) -> Callable[[Scene], None]:
    """A part was fetched before; the rest is asked for by Range."""

    def do(scene: Scene) -> None:
        scene.world.server.tricks[scene.blob()] = cut_off_at(20)
        assert scene.fetch().error
        scene.world.server.tricks[scene.blob()] = then

    return do


def ranged(content_range: str, *, shift: int = 0) -> Callable[[Answering], None]:
    """To a Range request only: asked for the whole, it is honest."""

    def answer(answering: Answering) -> None:
        if answering.start is None:
            answering.honest()
            return
        start = answering.start
        body = answering.data[start + shift :][: len(answering.data) - start]
        answering.head(206, ("Content-Length", str(len(body))), ("Content-Range", content_range))
        answering.body(body)

    return answer


def raw(head: bytes, body: bytes = b"") -> Callable[[Answering], None]:
    def answer(answering: Answering) -> None:
        answering.handler.wfile.write(head + b"\r\n\r\n" + body)

    return answer


def other_index(scene: Scene) -> None:
    """Mix and match: the older release's index under the newer one's name."""
    older = scene.first
    folder, _, file = older.name.target_path.rpartition("/")
    scene.files[scene.index_path()] = scene.files[f"/tuf/targets/{folder}/{older.index_sha256}.{file}"]


def other_manifest(scene: Scene) -> None:
    path = f"/v2/{scene.first.name.name}/manifests/sha256:{scene.first.manifests['int8']}"
    scene.files[scene.manifest()] = scene.files[path]


def other_weights(scene: Scene) -> None:
    path = f"/v2/{scene.first.name.name}/blobs/sha256:{scene.first.blob('model.onnx')}"
    scene.files[scene.blob()] = scene.files[path]


def other_director(scene: Scene) -> None:
    """The server's own director key is replaced by another, without the top role's signature."""
    path = next(path for path in scene.files if path.endswith(".director.json"))
    document = as_object(scene.files[path])
    document["pem"] = STRANGER_P256.public.pem().decode()
    scene.files[path] = json.dumps(document).encode()
    (scene.world.state.tuf / "director.json").unlink()


# -- what the director may not choose
def older_release(scene: Scene) -> None:
    scene.asked = scene.first


def by_another_name(scene: Scene) -> None:
    """The digest of one release under the version of another."""
    scene.asked = replace(scene.asked, index_sha256=scene.first.index_sha256)


def unlisted(name: str) -> Callable[[Scene], None]:
    def do(scene: Scene) -> None:
        scene.asked = replace(scene.asked, name=ReleaseName.parse(name))

    return do


def permit_by(
    key: Callable[[Scene], SigningKey],
    *,
    start: str = "2.0.0",
    end: str = "1.0.0",
    model: str = "demo/motion",
) -> Callable[[Scene], None]:
    def do(scene: Scene) -> None:
        scene.asked = scene.first
        permit = DowngradePermit(model=model, from_version=start, to_version=end)
        value: JsonObject = json.loads(permit.sign(key(scene)).encode())
        scene.changes["permit"] = value

    return do


def _director(scene: Scene) -> SigningKey:
    return scene.world.online_key("director")


def _team(scene: Scene) -> SigningKey:
    return scene.world.team_key


def used_permit(scene: Scene) -> None:
    """A true permit of the team for the step 2.0.0 to 1.0.0, on a device that runs 3.0.0 by now."""
    assert not scene.fetch().error
    switch_current(scene.world.model.folder, scene.asked.manifests["int8"])
    scene.changes["committed_counter"] = 3
    scene.good = scene.asked
    permit_by(_team)(scene)


def permit_of_junk(scene: Scene) -> None:
    scene.asked = scene.first
    junk: list[JsonValue] = [{"sig": "!!", "keyid": "x" * 5000}] * 40
    scene.changes["permit"] = {"payload": "A" * 9999, "payloadType": "x", "signatures": junk}


# -- what a team can sign by mistake, or a thief of its key on purpose, beside a bad model
def release_with(change: Callable[[dict[str, JsonValue]], None]) -> Callable[[Scene], None]:
    """A manifest that our own writer would not make, rightly signed and listed."""

    def do(scene: Scene) -> None:
        world, made = scene.world, scene.world.publish("4.0.0")
        path = f"/v2/{made.name.name}/manifests/sha256:{made.manifests['int8']}"
        document = as_object(world.server.files[path])
        change(document)
        data = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
        folder, _, file = made.name.target_path.rpartition("/")
        index = as_object(world.server.files[f"/tuf/targets/{folder}/{made.index_sha256}.{file}"])
        entries = index["manifests"]
        assert isinstance(entries, list)
        entry = dict(as_object(json.dumps(entries[0]).encode()))
        entry |= {"digest": digest_of(data), "size": len(data)}
        index["manifests"] = [entry]
        world.server.files[f"/v2/{made.name.name}/manifests/{digest_of(data)}"] = data
        encoded = json.dumps(index, separators=(",", ":"), sort_keys=True).encode()
        custom: JsonObject = {"schema": "limosa.release/1", "release_counter": 9}
        sha = world.list_target(made.name, encoded, custom)
        scene.asked = replace(made, index_sha256=sha, manifests={"int8": digest_of(data)[7:]})

    return do


def _layers(document: dict[str, JsonValue]) -> list[dict[str, JsonValue]]:
    layers = document["layers"]
    assert isinstance(layers, list)
    found = [dict(as_object(json.dumps(layer).encode())) for layer in layers]
    document["layers"] = list(found)
    return found


def file_called(name: str) -> Callable[[Scene], None]:
    def change(document: dict[str, JsonValue]) -> None:
        layer = _layers(document)[0]
        layer["annotations"] = {"org.cncf.model.filepath": name}

    return release_with(change)


def layer_of_size(size: int) -> Callable[[Scene], None]:
    def change(document: dict[str, JsonValue]) -> None:
        _layers(document)[0]["size"] = size

    return release_with(change)


def twice_one_name(document: dict[str, JsonValue]) -> None:
    layers = _layers(document)
    layers[1]["annotations"] = layers[0]["annotations"]


def archive_layer(document: dict[str, JsonValue]) -> None:
    _layers(document)[0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip"


def many_layers(document: dict[str, JsonValue]) -> None:
    layer = _layers(document)[0]
    many: list[JsonValue] = [
        {**layer, "annotations": {"org.cncf.model.filepath": f"{i}.bin"}} for i in range(5000)
    ]
    document["layers"] = many


def signed_by_another(scene: Scene) -> None:
    scene.asked = scene.world.publish("4.0.0", oms_key=STRANGER_P256)


def unsigned(scene: Scene) -> None:
    scene.asked = scene.world.publish("4.0.0", signed=False)


def stale_signature(scene: Scene) -> None:
    """A true signature of the team, of another release's files."""
    world = scene.world
    older = Manifest.parse(
        world.server.files[f"/v2/demo/motion/manifests/sha256:{scene.first.manifests['int8']}"]
    )
    signature = next(layer for layer in older.layers if layer.filename == "model.sig")

    def change(document: dict[str, JsonValue]) -> None:
        layers = _layers(document)
        for layer in layers:
            if layer["annotations"] == {"org.cncf.model.filepath": "model.sig"}:
                layer |= {"digest": signature.digest, "size": signature.size}
        document["layers"] = list(layers)

    release_with(change)(scene)


def wrong_hardware(scene: Scene) -> None:
    needs = Requirements(architectures=("s390x",))
    scene.asked = scene.world.publish("4.0.0", variants={"int8": needs})


def newer_agent(scene: Scene) -> None:
    scene.asked = scene.world.publish("4.0.0", min_agent="99.0.0")


def failed_before(scene: Scene) -> None:
    scene.changes["quarantined"] = [scene.asked.manifests["int8"]]


def no_variants(scene: Scene) -> None:
    index = ImageIndex(manifests=()).encode()
    custom: JsonObject = {"schema": "limosa.release/1", "release_counter": 9}
    name = ReleaseName.parse("demo/motion@4.0.0")
    scene.asked = replace(scene.asked, name=name, index_sha256=scene.world.list_target(name, index, custom))


def counter_of(value: JsonValue) -> Callable[[Scene], None]:
    def do(scene: Scene) -> None:
        name = ReleaseName.parse("demo/motion@4.0.0")
        custom: JsonObject = {"schema": "limosa.release/1", "release_counter": value}
        sha = scene.world.list_target(name, scene.files[scene.index_path()], custom)
        scene.asked = replace(scene.asked, name=name, index_sha256=sha)

    return do


ATTACKS: Final = {
    "an index with a flipped bit": attack(on("index", bit_flipped), *WRONG, by=NETWORK, clause="trust 2.1"),
    "another release's index": attack(other_index, *WRONG, clause="trust 2.1"),
    "an index without end": attack(on("index", endless), "LM-591", clause="trust 3.4"),
    "a manifest with a flipped bit": attack(on("manifest", bit_flipped), *WRONG, by=NETWORK),
    "another release's manifest": attack(other_manifest, *WRONG),
    "a manifest without end": attack(on("manifest", endless), "LM-591", clause="trust 7.3"),
    "weights with a flipped bit": attack(on("weights", bit_flipped), *WRONG, by=NETWORK),
    "another release's weights": attack(other_weights, *WRONG),
    "weights without end": attack(on("weights", endless), "LM-591", clause="trust 3.4"),
    "weights two bytes at a time": attack(on("weights", dripping), "LM-590", clause="trust 3.4"),
    "weights that never come": attack(on("weights", silent), "LM-590", clause="trust 3.4"),
    "weights that break off": attack(on("weights", cut_off_at(10)), "LM-591", by=NETWORK),
    "all of it where a part was asked for": attack(half_there(whole_again), by=NETWORK, clause="trust 3.4"),
    "another range than was asked for": attack(half_there(other_range), clause="trust 3.4"),
    "a range that says another total": attack(half_there(ranged("bytes 20-799/999999999"))),
    "a range that is none": attack(half_there(ranged("bytes */*"))),
    "a range of other bytes, rightly labelled": attack(half_there(ranged("bytes 20-799/800", shift=-7))),
    "a redirect to another host": attack(on("weights", redirect_to("http://192.0.2.1/x")), "LM-593"),
    "a redirect to a file": attack(on("weights", redirect_to("file:///etc/passwd")), "LM-593"),
    "a redirect for ever": attack(on("weights", redirect_to("/v2/loop")), "LM-589"),
    "a redirect to nowhere": attack(on("weights", redirect_to("http://[")), "LM-589"),
    "two lengths": attack(
        on("weights", raw(OK + b"Content-Length: 3\r\nContent-Length: 9", b"abc")), "LM-591"
    ),
    "a length below nothing": attack(on("weights", raw(OK + b"Content-Length: -1", b"abc")), "LM-591"),
    "a chunk of an exabyte": attack(
        on("weights", raw(OK + b"Transfer-Encoding: chunked", b"fffffffffffffff\r\nabc")),
        "LM-302",
    ),
    "headers of 5 MB": attack(on("weights", raw(OK + b"X-A: " + b"a" * 5_000_000)), "LM-302"),
    "a hundred thousand headers": attack(on("weights", raw(OK + b"X: 1\r\n" * 100_000)), "LM-302"),
    "a status line that is none": attack(on("weights", raw(b"220 smtp ready")), "LM-302"),
    "another director's key": attack(other_director, *WRONG, "LM-591", clause="trust 4.2"),
    "an older release": attack(older_release, "LM-580", clause="trust 2.4"),
    "a release under another's name": attack(by_another_name, "LM-584", clause="trust 4.2"),
    "a version that nobody signed": attack(unlisted("demo/motion@9.9.9"), "LM-583"),
    "a model that nobody signed": attack(unlisted("demo/other@3.0.0"), "LM-583"),
    "a team that is none": attack(unlisted("nobody/motion@3.0.0"), "LM-583"),
    "the role of the director as a team": attack(unlisted("limosa/motion@3.0.0"), "LM-583"),
    "a permit of the director": attack(permit_by(_director), "LM-580", clause="trust 2.4"),
    "a permit of a stranger": attack(permit_by(lambda scene: STRANGER_P256), "LM-580", clause="trust 2.4"),
    "a permit for another step": attack(permit_by(_team, start="9.0.0"), "LM-580", clause="trust 2.4"),
    "a permit to another version": attack(permit_by(_team, end="0.5.0"), "LM-580", clause="trust 2.4"),
    "a permit for another model": attack(permit_by(_team, model="demo/other"), "LM-580", clause="trust 2.4"),
    "a permit that was for the release before": attack(used_permit, "LM-580", clause="trust 2.4"),
    "a permit of junk": attack(permit_of_junk, "LM-410", clause="trust 2.4"),
    "a file above the folder": attack(file_called("../../../evil"), "LM-201", **CARELESS),
    "a file of an absolute path": attack(file_called("/etc/evil"), "LM-201", **CARELESS),
    "a file called manifest.json": attack(
        file_called("manifest.json"), "LM-201", by=TEAM, clause="trust 7.1"
    ),
    "a file called release.json": attack(file_called("release.json"), "LM-201", **CARELESS),
    "a file called ..": attack(file_called(".."), "LM-201", **CARELESS),
    "a file with a nul": attack(file_called("a\0b"), "LM-201", **CARELESS),
    "a file with a very long name": attack(file_called("x" * 300), "LM-201", **CARELESS),
    "two files of one name": attack(release_with(twice_one_name), "LM-201", **CARELESS),
    "an archive to unpack": attack(release_with(archive_layer), "LM-201", **CARELESS),
    "a file of nine exabytes": attack(layer_of_size(9 * 10**18), "LM-410", by=TEAM, clause="trust 7.3"),
    "a file of less than nothing": attack(layer_of_size(-1), "LM-410", by=TEAM, clause="trust 7.3"),
    "five thousand files": attack(release_with(many_layers), "LM-201", by=TEAM, clause="trust 7.3"),
    "a model signed with another key": attack(
        signed_by_another, "LM-203", by="the TUF key alone", clause="trust 5.1"
    ),
    "a model without signature": attack(unsigned, "LM-585", by=TEAM, clause="trust 5.1"),
    "a signature of another release": attack(stale_signature, "LM-203", by=TEAM, clause="trust 5.1"),
    "a model for other hardware": attack(wrong_hardware, "LM-586", clause="agent 2.1"),
    "a model for a newer agent": attack(newer_agent, "LM-587", clause="trust 2.4"),
    "a model that has failed here": attack(failed_before, "LM-588", clause="agent 3"),
    "an index of nothing": attack(no_variants, "LM-586", "LM-201", by=TEAM, clause="agent 2.1"),
    "a release counter of zero": attack(counter_of(0), "LM-410", by=TEAM, clause="trust 2.4"),
    "a release counter that is a text": attack(counter_of("9"), "LM-410", by=TEAM, clause="trust 2.4"),
}
