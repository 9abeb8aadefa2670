"""A fleet server and an enrolled device, from whose folders every path begins."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Timestamp

from limosa_agent.config import AgentConfig
from limosa_agent.fetch.slots import clear_current, switch_current
from limosa_agent.identity.enroll import enroll
from limosa_agent.store.journal import Journal
from limosa_agent.store.state_db import StateDb
from limosa_agent.update.state import ModelState, Release, Target
from limosa_compiler.trust import roles
from limosa_contracts.delta.making import make_delta
from limosa_contracts.delta.wire import MEDIA_TYPE
from limosa_contracts.json_value import JsonObject
from limosa_contracts.phases import Phase
from tests.agent.fetch.world import Answer, Published, World
from tests.agent.fleet import Fleet, running_fleet
from tests.crash.disk_log import Image
from tests.crash.disk_pool import config_of
from tests.crash.programs import MODEL

VARIANT: Final = "int8"
PATIENT: Final[JsonObject] = {
    "rate_window_s": 60.0,
    "idle_timeout_s": 60.0,
    "connect_timeout_s": 60.0,
    "lock_wait_s": 60.0,
    "disk_reserve_bytes": 0,
}
"""Limits under which no fetch is given up because the machine is busy."""
DELTAS: Final[JsonObject] = {**PATIENT, "delta_min_bytes": 1}


@dataclass(slots=True)
class Lab:
    """`base` holds folders: `bare` (nothing), `fresh` (enrolled), `one` (1.0.0 committed), `two`
    (2.0.0 staged beside it, the link lost), `both` (2.0.0 committed, 1.0.0 before it), `one unlinked`
    and `both unlinked` (the same, the link lost)."""

    folder: Path
    fleet: Fleet
    one: Published
    two: Published
    base: dict[str, Image]
    signed: set[bytes]  # every metadata file that there ever was

    @property
    def world(self) -> World:
        return self.fleet.world

    def device(self, state_dir: Path) -> World:
        """The same server, seen by the device in that folder."""
        return replace(self.world, device=state_dir)

    def request(
        self, state_dir: Path, release: Published | None, *, limits: JsonObject = PATIENT
    ) -> JsonObject:
        return {"request": self.device(state_dir).request(release, limits=limits)}

    def fetch(
        self, state_dir: Path, release: Published | None = None, *, limits: JsonObject = PATIENT
    ) -> Answer:
        return self.device(state_dir).fetch(release, limits=limits)

    def config(self, state_dir: Path) -> AgentConfig:
        return config_of(state_dir, self.fleet.url)

    def place(self, name: str, state_dir: Path) -> Path:
        self.base[name].write_to(state_dir)
        return state_dir


@contextmanager
def lab(folder: Path) -> Iterator[Lab]:
    folder.mkdir()
    with running_fleet(folder / "fleet") as fleet:
        one = fleet.world.publish("1.0.0", {"model.onnx": random.Random(7).randbytes(8000)})
        two = fleet.world.publish("2.0.0")
        made = Lab(folder, fleet, one, two, base={}, signed=set())
        state_dir = folder / "state"
        state_dir.mkdir(mode=0o700)

        def keep(name: str) -> None:
            made.base[name] = Image.read(state_dir)

        keep("bare")
        enroll(made.config(state_dir), token=fleet.token, serial="")
        keep("fresh")
        world = made.device(state_dir)
        _install(world, one)
        switch_current(world.model.folder, sha_of(one))
        first = ModelState(
            model=MODEL,
            phase=Phase.COMMITTED,
            target=target_of(one, "r1"),
            active=release_of(one, 1),
            committed_counter=1,
        )
        _save(state_dir, first)
        keep("one")
        clear_current(world.model.folder)
        keep("one unlinked")
        switch_current(world.model.folder, sha_of(one))
        _install(world, two)
        staged = replace(first, phase=Phase.STAGED, target=target_of(two, "r2"), candidate=release_of(two, 2))
        _save(state_dir, staged)
        clear_current(world.model.folder)  # derived from the database, and made again at start (agent 3.0)
        keep("two")
        switch_current(world.model.folder, sha_of(two))
        second = replace(
            staged,
            phase=Phase.COMMITTED,
            active=release_of(two, 2),
            previous=release_of(one, 1),
            candidate=None,
            committed_counter=2,
        )
        _save(state_dir, second)
        keep("both")
        clear_current(world.model.folder)
        keep("both unlinked")
        made.signed.update(fleet.world.server.files.values())
        yield made


def sha_of(release: Published) -> str:
    return release.manifests[VARIANT]


def release_of(release: Published, counter: int) -> Release:
    return Release(
        version=release.name.version,
        index_sha256=release.index_sha256,
        manifest_sha256=sha_of(release),
        variant=VARIANT,
        release_counter=counter,
    )


def target_of(release: Published, rollout: str) -> Target:
    return Target(version=release.name.version, index_sha256=release.index_sha256, rollout=rollout)


def rotate_root(world: World) -> None:
    """A second root, signed as the first one is, and new metadata under it."""
    root = Metadata[Root].from_bytes(world.keys.server["tuf/1.root.json"]).signed
    root.version = 2
    signed = roles.signed(root, [world.offline_key("root-1.pem")])
    world.server.files["/tuf/metadata/2.root.json"] = signed.to_bytes()
    world.freeze()


def mixed_metadata(world: World) -> dict[str, bytes]:
    """What a captured server may sign: newest timestamp and snapshot, over the first versions of all
    roles (trust 1: it holds both keys)."""
    version = 1 << 40
    meta = {f"{name}.json": MetaFile(1) for name in world.team_roles}
    snapshot = Snapshot(version=version, expires=world.now.replace(year=world.now.year + 1), meta=meta)
    timestamp = Timestamp(version=version, expires=snapshot.expires, snapshot_meta=MetaFile(version))
    return {
        f"/tuf/metadata/{version}.snapshot.json": roles.signed(
            snapshot, [world.online_key("snapshot")]
        ).to_bytes(),
        "/tuf/metadata/timestamp.json": roles.signed(timestamp, [world.online_key("timestamp")]).to_bytes(),
    }


def next_by_delta(lab: Lab) -> Published:
    """2.1.0, for which the server has a delta from the model of 1.0.0."""
    world, old = lab.world, lab.one.blob("model.onnx")
    path = "/v2/demo/motion/blobs/sha256:"
    before = world.server.files[f"{path}{old}"]
    after = before[:400] + hashlib.sha512(before).digest() + before[400:]
    release = world.publish("2.1.0", {"model.onnx": after})
    lab.signed.update(world.server.files.values())
    delta = make_delta(before, after)
    assert delta is not None
    name = f"{path}{release.blob('model.onnx')}?from=sha256:{old}"
    world.server.files[name], world.server.media_types[name] = delta, MEDIA_TYPE
    return release


@contextmanager
def serving_instead(world: World, files: dict[str, bytes]) -> Iterator[None]:
    """For a while the server says something else."""
    honest = dict(world.server.files)
    world.server.files.update(files)
    try:
        yield
    finally:
        world.server.files.clear()
        world.server.files.update(honest)


def _install(world: World, release: Published) -> None:
    fetched = world.fetch(release, limits=PATIENT)
    assert not fetched.error, fetched.error


def _save(state_dir: Path, state: ModelState) -> None:
    with closing(StateDb.open(state_dir)) as db, db.transaction("given") as connection:
        Journal(db).save(state, connection=connection)
