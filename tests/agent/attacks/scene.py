"""Who attacks, with what, and what must be true afterwards (trust 3, 4, 7)."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata, Targets, Timestamp

from limosa_agent.fetch.slots import read_current, switch_current, verify_release
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.names import ReleaseName
from limosa_contracts.signing_keys import Algorithm, SigningKey
from tests.agent.fetch.world import Answer, Published, World

STRANGER = SigningKey.generate(Algorithm.ED25519)
STRANGER_P256 = SigningKey.generate(Algorithm.P256)
DISK_MAX_BYTES = 3_000_000  # what a refused fetch may leave behind at most


@dataclass
class Scene:
    """A device that runs 2.0.0 of a team, and is told to fetch 3.0.0. All three releases are honest.

    Whoever holds the server has `world.online_key(…)` and every byte it ever served; the team's keys
    and the root's are never used by an attack that says `captured server`.
    """

    world: World
    first: Published
    good: Published
    asked: Published
    honest: frozenset[str]  # manifests that the team signed
    changes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def set(cls, world: World) -> Scene:
        first = world.publish("1.0.0")
        good = world.publish("2.0.0")
        assert not world.fetch(good).error
        switch_current(world.model.folder, good.manifests["int8"])
        asked = world.publish("3.0.0")
        honest = frozenset(p.manifests["int8"] for p in (first, good, asked))
        return cls(world, first, good, asked, honest, {"committed_counter": 2})

    @property
    def files(self) -> dict[str, bytes]:
        return self.world.server.files

    def blob(self) -> str:
        """Path of the weights of what is asked for."""
        return f"/v2/{self.asked.name.name}/blobs/sha256:{self.asked.blob('model.onnx')}"

    def manifest(self) -> str:
        return f"/v2/{self.asked.name.name}/manifests/sha256:{self.asked.manifests['int8']}"

    def bin_file(self) -> str:
        role = self.world.bin_of(self.asked.name)
        return f"/tuf/metadata/{self.world.team_roles[role].version}.{role}.json"

    def role(self, path: str) -> Targets:
        return Metadata[Targets].from_bytes(self.files[path]).signed

    def index_path(self) -> str:
        name = ReleaseName.parse(str(self.asked.name))
        folder, _, file = name.target_path.rpartition("/")
        return f"/tuf/targets/{folder}/{self.asked.index_sha256}.{file}"

    def fetch(self) -> Answer:
        return self.world.fetch(self.asked, **self.changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """`ends`: the codes it may be refused with; none where the honest release is to come all the same."""

    by: str
    clause: str
    do: Callable[[Scene], None]
    ends: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Before:
    """What the honest server served, to be served again."""

    files: Mapping[str, bytes]
    team_roles: Mapping[str, Targets]

    @classmethod
    def of(cls, world: World) -> Before:
        return cls(dict(world.server.files), copy.deepcopy(world.team_roles))

    def again(self, world: World) -> None:
        """In honest hands again, with versions above all that were ever served (trust 2.3). A team that
        has joined meanwhile stays."""
        seen = {name: role.version for name, role in world.team_roles.items()}
        version = Metadata[Timestamp].from_bytes(self.files["/tuf/metadata/timestamp.json"]).signed.version
        world.server.tricks.clear()
        joined = {f"{role.version}.{name}.json" for name, role in world.team_roles.items()} - {
            f"{version}.{name}.json" for name, version in seen.items() if name in self.team_roles
        }
        for path in list(world.server.files):
            if path not in self.files and path.rpartition("/")[2] not in joined:
                del world.server.files[path]
        world.server.files.update(self.files)
        for name, role in self.team_roles.items():
            role.version = max(role.version, seen[name])
            key = world.offline_key("targets.pem") if name == "targets" else world.team_key
            world.put_role(name, role, key)
        world.freeze(version=version + 10)


def check_untouched(scene: Scene, outside: Path) -> None:
    """What holds after every attack, whatever it was refused with."""
    model = scene.world.model
    current = read_current(model.folder)
    assert current == scene.good.manifests["int8"], "the link still names what was committed"
    verify_release(model.folder, current)
    installed = {path.name for path in model.releases.iterdir()}
    assert installed <= scene.honest, "nothing that the team did not sign has become a release"
    for path in scene.world.device.rglob("*"):
        assert path.name == "current" or not path.is_symlink(), f"a link was planted: {path}"
    size = sum(path.stat().st_size for path in scene.world.device.rglob("*") if path.is_file())
    assert size < DISK_MAX_BYTES, f"{size} bytes were left behind"
    assert sorted(path.name for path in outside.iterdir()) == ["device"], "nothing was written elsewhere"


def as_object(data: bytes) -> dict[str, JsonValue]:
    value: JsonObject = json.loads(data)
    return dict(value)
