"""Attacks on signed metadata: replay, freeze, mix and match, forged roles, documents that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from limosa_compiler.trust import roles
from limosa_compiler.trust.ceremony import make_team
from limosa_contracts.json_value import JsonObject
from limosa_contracts.names import ReleaseName
from limosa_contracts.signing_keys import SigningKey
from tests.agent.attacks.scene import STRANGER, STRANGER_P256, Attack, Scene, as_object
from tests.support.hostile_server import dripping, dripping_headers, endless, gzipped, silent, status

TIMESTAMP: Final = "/tuf/metadata/timestamp.json"
UNTRUSTED: Final = ("LM-582",)
SERVER: Final = "captured server"
NETWORK: Final = "the network"


def put(path: str, data: bytes) -> Callable[[Scene], None]:
    def do(scene: Scene) -> None:
        scene.files[path] = data

    return do


def trick(part: str, what: Callable[..., None]) -> Callable[[Scene], None]:
    def do(scene: Scene) -> None:
        scene.world.server.tricks[part] = what

    return do


def _known_first(scene: Scene) -> bytes:
    """The device has seen the newest; gives the timestamp of before."""
    old = scene.files[TIMESTAMP]
    scene.world.freeze()
    assert not scene.world.fetch().error
    return old


def replayed_timestamp(scene: Scene) -> None:
    scene.files[TIMESTAMP] = _known_first(scene)


def bin_of_before(scene: Scene) -> None:
    """A newer snapshot, signed with the server's own key, names the bin's older version."""
    assert not scene.world.fetch().error
    scene.world.team_roles[scene.world.bin_of(scene.asked.name)].version -= 1
    scene.world.freeze()


def _resnapshot(scene: Scene, *, without: str) -> None:
    world = scene.world
    version = Metadata[Timestamp].from_bytes(scene.files[TIMESTAMP]).signed.version + 1
    meta = {f"{name}.json": MetaFile(role.version) for name, role in world.team_roles.items()}
    del meta[without]
    snapshot = Snapshot(version=version, expires=world.now + timedelta(days=30), meta=meta)
    timestamp = Timestamp(
        version=version, expires=world.now + timedelta(days=1), snapshot_meta=MetaFile(version)
    )
    key, other = world.online_key("snapshot"), world.online_key("timestamp")
    scene.files[f"/tuf/metadata/{version}.snapshot.json"] = roles.signed(snapshot, [key]).to_bytes()
    scene.files[TIMESTAMP] = roles.signed(timestamp, [other]).to_bytes()


def bin_left_out(scene: Scene) -> None:
    assert not scene.world.fetch().error
    _resnapshot(scene, without=f"{scene.world.bin_of(scene.asked.name)}.json")


def team_left_out(scene: Scene) -> None:
    assert not scene.world.fetch().error
    _resnapshot(scene, without="demo.json")


def timestamp_by(key: SigningKey | None) -> Callable[[Scene], None]:
    def do(scene: Scene) -> None:
        forged = Metadata[Timestamp].from_bytes(scene.files[TIMESTAMP])
        forged.signed.version += 1
        forged.signatures.clear()
        scene.files[TIMESTAMP] = (
            forged.to_bytes() if key is None else roles.signed(forged.signed, [key]).to_bytes()
        )

    return do


def frozen(scene: Scene) -> None:
    """The server signs no newer timestamp, and what it signed last has run out."""
    scene.world.freeze(expires=timedelta(seconds=-5))


def evil_release_in_bin(key_name: str) -> Callable[[Scene], None]:
    """The bin lists a release of the attacker's, signed with a key that the server holds."""

    def do(scene: Scene) -> None:
        world = scene.world
        key = STRANGER_P256 if key_name == "a stranger's" else world.online_key(key_name)
        scene.asked = world.publish("6.6.6", {"model.onnx": b"evil"}, tuf_key=key, oms_key=STRANGER_P256)

    return do


def evil_team_role(scene: Scene) -> None:
    """The team's own role, signed by the director's key instead of the team's."""
    role = scene.world.team_roles["demo"]
    role.version += 1
    data = roles.signed(role, [scene.world.online_key("director")]).to_bytes()
    scene.files[f"/tuf/metadata/{role.version}.demo.json"] = data
    scene.world.freeze()


def top_role_lists_it(scene: Scene) -> None:
    """Who took the top role's key alone: it may delegate, and not give an install (trust 1)."""
    name = ReleaseName.parse("demo/motion@6.6.6")
    index, key = scene.files[scene.index_path()], scene.world.offline_key("targets.pem")
    custom: JsonObject = {"schema": "limosa.release/1", "release_counter": 9}
    sha = scene.world.list_target(name, index, custom, key=key, role="targets")
    scene.asked = replace(scene.asked, name=name, index_sha256=sha)


def evil_top_role(scene: Scene) -> None:
    """The top role, signed with the key of the snapshot."""
    top = scene.world.team_roles["targets"]
    top.version += 1
    data = roles.signed(top, [scene.world.online_key("snapshot")]).to_bytes()
    scene.files[f"/tuf/metadata/{top.version}.targets.json"] = data
    scene.world.freeze()


def evil_root(change: Callable[[Root], None]) -> Callable[[Scene], None]:
    def do(scene: Scene) -> None:
        root = Metadata[Root].from_bytes(scene.files["/tuf/metadata/1.root.json"]).signed
        root.version = 2
        change(root)
        keys = [scene.world.online_key(name) for name in ("snapshot", "timestamp", "director")]
        scene.files["/tuf/metadata/2.root.json"] = roles.signed(root, [*keys, STRANGER]).to_bytes()

    return do


def own_keys(root: Root) -> None:
    for role in (Root.type, Targets.type):
        root.add_key(roles.tuf_key(STRANGER.public), role)


def no_signature_needed(root: Root) -> None:
    root.roles[Root.type].threshold = 1
    own_keys(root)


def root_that_skips(scene: Scene) -> None:
    root = Metadata[Root].from_bytes(scene.files["/tuf/metadata/1.root.json"]).signed
    root.version = 3
    offline = scene.world.offline_key("root-1.pem")  # validly signed, but never published as the next
    scene.files["/tuf/metadata/2.root.json"] = roles.signed(root, [offline]).to_bytes()


def wrong_type(scene: Scene) -> None:
    """A snapshot where a timestamp belongs; both are signed by keys of this server."""
    version = Metadata[Timestamp].from_bytes(scene.files[TIMESTAMP]).signed.version
    scene.files[TIMESTAMP] = scene.files[f"/tuf/metadata/{version}.snapshot.json"]


def twice_the_same_key(scene: Scene) -> None:
    """JSON with a name twice, of which the second lies: two parsers would see two documents."""
    head, name, tail = scene.files[TIMESTAMP].decode().rpartition('"version":')
    scene.files[TIMESTAMP] = f"{head}{name} 1, {name} 9{tail.lstrip()}".encode()


def other_teams_bin(scene: Scene) -> None:
    """Another team of this fleet signs, with its own and validly delegated key, for this team's model."""
    world = scene.world
    other = make_team("other", world.now)
    top, targets_key = world.team_roles["targets"], world.offline_key("targets.pem")
    roles.delegate_team(top, "other", other.key.public)
    world.put_role("targets", top, targets_key)
    for path, data in other.server().items():
        world.put_metadata(path.removeprefix("tuf/"), data)
    name = ReleaseName.parse("demo/motion@6.6.6")
    role = roles.bins_of(world.team_roles["other"], where="other").get_role_for_target(name.target_path)
    index = scene.files[scene.index_path()]
    custom: JsonObject = {"schema": "limosa.release/1", "release_counter": 9}
    assert isinstance(other.key, SigningKey)
    sha = world.list_target(name, index, custom, key=other.key, role=role)
    scene.asked = replace(scene.asked, name=name, index_sha256=sha)


def huge(scene: Scene) -> None:
    scene.files[TIMESTAMP] = scene.files[TIMESTAMP] + b" " * 20_000_000


def deep(scene: Scene) -> None:
    scene.files[TIMESTAMP] = b'{"signed":' * 100_000 + b"1" + b"}" * 100_000


def numbers_without_end(scene: Scene) -> None:
    changed = as_object(scene.files[TIMESTAMP])
    text = json.dumps(changed).replace('"version": ', '"version": 9' + "9" * 5000, 1)
    scene.files[TIMESTAMP] = text.encode()


def cut(scene: Scene) -> None:
    scene.files[TIMESTAMP] = scene.files[TIMESTAMP][:-40]


def attack(do: Callable[[Scene], None], *ends: str, by: str = SERVER, clause: str = "trust 3") -> Attack:
    return Attack(by=by, clause=clause, do=do, ends=ends)


ATTACKS: Final = {
    "an older timestamp again": attack(replayed_timestamp, *UNTRUSTED, by=NETWORK),
    "a newer snapshot with an older bin": attack(bin_of_before, *UNTRUSTED),
    "a newer snapshot without the bin": attack(bin_left_out, *UNTRUSTED),
    "a newer snapshot without the team": attack(team_left_out, *UNTRUSTED),
    "a timestamp signed by a stranger": attack(timestamp_by(STRANGER), *UNTRUSTED, by=NETWORK),
    "a timestamp without signature": attack(timestamp_by(None), *UNTRUSTED, by=NETWORK),
    "a timestamp that has expired": attack(frozen, "LM-581"),
    "a snapshot in place of the timestamp": attack(wrong_type, *UNTRUSTED),
    "a bin signed with the snapshot's key": attack(evil_release_in_bin("snapshot"), *UNTRUSTED),
    "a bin signed with the timestamp's key": attack(evil_release_in_bin("timestamp"), *UNTRUSTED),
    "a bin signed with the director's key": attack(evil_release_in_bin("director"), *UNTRUSTED),
    "a bin signed with a stranger's key": attack(evil_release_in_bin("a stranger's"), *UNTRUSTED),
    "a team's role signed with the director's key": attack(evil_team_role, *UNTRUSTED),
    "a top role signed with the snapshot's key": attack(evil_top_role, *UNTRUSTED),
    "a release listed by the top role itself": attack(top_role_lists_it, *UNTRUSTED, by="the targets key"),
    "a release listed by another team": attack(other_teams_bin, "LM-582", "LM-583", by="another team"),
    "a root of the server's own keys": attack(evil_root(own_keys), *UNTRUSTED),
    "a root that asks for one signature": attack(evil_root(no_signature_needed), *UNTRUSTED),
    "a root that skips a version": attack(root_that_skips, *UNTRUSTED),
    "a timestamp of 20 MB": attack(huge, "LM-591", by=NETWORK, clause="trust 7.3"),
    "a timestamp without end": attack(trick("timestamp.json", endless), "LM-591", by=NETWORK),
    "a bin without end": attack(trick("demo-bins", endless), "LM-591", by=NETWORK),
    "JSON a hundred thousand deep": attack(deep, "LM-591", "LM-582", by=NETWORK, clause="trust 7.3"),
    "a name that occurs twice": attack(twice_the_same_key, *UNTRUSTED, by=NETWORK),
    "a number of five thousand digits": attack(numbers_without_end, *UNTRUSTED, by=NETWORK),
    "half a timestamp": attack(cut, *UNTRUSTED, by=NETWORK),
    "bytes that are no text": attack(put(TIMESTAMP, b"\xff\xfe\x00" * 50), *UNTRUSTED, by=NETWORK),
    "an empty timestamp": attack(put(TIMESTAMP, b""), *UNTRUSTED, by=NETWORK),
    "no timestamp": attack(trick("timestamp.json", status(404)), "LM-589", by=NETWORK),
    "a server that fails": attack(trick("timestamp.json", status(500)), "LM-589", by=NETWORK),
    "a timestamp two bytes at a time": attack(trick("timestamp.json", dripping), "LM-590", by=NETWORK),
    "headers three bytes at a time": attack(
        trick("timestamp.json", dripping_headers), "LM-590", by=NETWORK, clause="trust 3.4"
    ),
    "a server that says nothing": attack(trick("timestamp.json", silent), "LM-590", by=NETWORK),
    "an encoding nobody asked for": attack(trick("timestamp.json", gzipped), "LM-589", by=NETWORK),
}
