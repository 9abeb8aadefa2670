"""The paths that are explored: a program, where it begins, and what must hold whenever the power goes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from limosa_agent.errors import NotEnrolled
from limosa_agent.fetch.paths import StatePaths
from limosa_agent.fetch.slots import collect, installed, verify_release
from limosa_agent.identity.enroll import enroll
from limosa_agent.identity.identity import Identity, is_private, load_identity, recover_identity
from limosa_agent.identity.renew import leaf_of, renew
from limosa_contracts.json_value import JsonObject
from limosa_contracts.names import ModelName
from limosa_contracts.signing_keys import PublicKey
from tests.agent.fetch.world import Published
from tests.crash.disk_pool import agent, stopped
from tests.crash.explore import Judge
from tests.crash.lab import (
    DELTAS,
    PATIENT,
    Lab,
    mixed_metadata,
    next_by_delta,
    rotate_root,
    serving_instead,
    sha_of,
)
from tests.crash.programs import MODEL
from tests.crash.slot_promises import (
    metadata_is_whole,
    nothing_is_left_over,
    slots_are_whole,
    something_serves,
)
from tests.crash.update_promises import removal_keeps_its_promises, update_keeps_its_promises

TIMESTAMP: Final = "/tuf/metadata/timestamp.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashPath:
    """`base` names a folder of the lab."""

    program: str
    base: str
    args: Callable[[Path], JsonObject]
    judge: Judge


def install(lab: Lab) -> CrashPath:
    """2.0.0 beside 1.0.0, which serves (agent 3, lines 0 to 4)."""
    return _installation(lab, lab.two, before=lab.one, base="one")


def first_install(lab: Lab) -> CrashPath:
    """1.0.0 on a device that has never fetched anything."""
    return _installation(lab, lab.one, before=None, base="fresh")


def delta_install(lab: Lab) -> CrashPath:
    """2.1.0 out of 1.0.0, which serves, and a delta (agent 2.2)."""
    return _installation(lab, next_by_delta(lab), before=lab.one, base="one", limits=DELTAS)


def _installation(
    lab: Lab, release: Published, *, before: Published | None, base: str, limits: JsonObject = PATIENT
) -> CrashPath:
    wanted, way = sha_of(release), "delta" if limits is DELTAS else "full"

    def judge(folder: Path, marks: frozenset[str]) -> None:
        world = lab.device(folder)
        if before is not None:
            slots_are_whole(folder, linked=[sha_of(before)])
            metadata_is_whole(folder, signed=lab.signed)
            something_serves(folder, allowed=[sha_of(before)])
        for sha in installed(world.model.folder):
            verify_release(world.model.folder, sha)
        if "fetched" in marks:
            assert way in marks, f"it came another way than {way}"
            verify_release(world.model.folder, wanted)
            assert list(world.model.staging.iterdir()) == [], "what was staged is there again"
            metadata_is_whole(folder, signed=lab.signed)
        again = lab.fetch(folder, release, limits=limits)
        assert not again.error, again.error
        verify_release(world.model.folder, wanted)
        metadata_is_whole(folder, signed=lab.signed)
        nothing_is_left_over(folder)
        if "fetched" in marks:
            assert again.result["bytes"] == 0, "what was fetched is fetched again"

    return CrashPath(
        program="fetch",
        base=base,
        args=lambda folder: lab.request(folder, release, limits=limits),
        judge=judge,
    )


def refresh(lab: Lab) -> CrashPath:
    """New metadata under a new root (trust 3.2)."""
    older = {TIMESTAMP: lab.world.server.files[TIMESTAMP]}
    rotate_root(lab.world)
    lab.signed.update(lab.world.server.files.values())
    mixed = mixed_metadata(lab.world)

    def judge(folder: Path, marks: frozenset[str]) -> None:
        world = lab.device(folder)
        metadata_is_whole(folder, signed=lab.signed)
        if "fetched" in marks:  # neither a replay, nor what a captured server would sign
            with serving_instead(world, older):
                assert lab.fetch(folder).failed("trust", "LM-582")
            attacked = shutil.copytree(folder, folder.with_name("attacked"), symlinks=True)
            with serving_instead(world, mixed):
                assert lab.fetch(attacked).failed("trust", "LM-582")
            shutil.rmtree(attacked)
            newest = world.server.files["/tuf/metadata/2.root.json"]
            assert (world.state.tuf / "root.json").read_bytes() == newest
        again = lab.fetch(folder)
        assert not again.error, again.error
        with serving_instead(world, older):
            assert lab.fetch(folder).failed("trust", "LM-582")

    return CrashPath(
        program="fetch",
        base="one",
        args=lambda folder: lab.request(folder, None),
        judge=judge,
    )


def collection(lab: Lab) -> CrashPath:
    """1.0.0 goes, 2.0.0 stays with all it shares (agent 3, line 9)."""
    gone, kept = sha_of(lab.one), sha_of(lab.two)

    def folder_of(state_dir: Path) -> Path:
        return StatePaths(state_dir).model(ModelName.parse(MODEL)).folder

    def judge(folder: Path, marks: frozenset[str]) -> None:
        slots_are_whole(folder, linked=[kept])
        something_serves(folder, allowed=[kept])
        if "collected" in marks:
            assert installed(folder_of(folder)) == (kept,), "what was removed is there again"
        collect(folder_of(folder), keep=[kept])
        slots_are_whole(folder, linked=[kept])
        assert installed(folder_of(folder)) == (kept,)
        again = lab.fetch(folder, lab.one)
        assert not again.error, again.error
        verify_release(folder_of(folder), gone)

    return CrashPath(
        program="collection",
        base="both",
        args=lambda folder: {"model_dir": str(folder_of(folder)), "keep": [kept]},
        judge=judge,
    )


def enrolment(lab: Lab) -> CrashPath:
    """An identity whole or not at all (trust 6.1). Every judgement uses a token of its own."""

    def args(folder: Path) -> JsonObject:
        lab.fleet.tokens_used = 0
        return {"state_dir": str(folder), "server": lab.fleet.url, "token": lab.fleet.token}

    def judge(folder: Path, marks: frozenset[str]) -> None:
        config = lab.config(folder)
        recover_identity(config.identity_dir)
        try:
            identity = load_identity(config.identity_dir)
        except NotEnrolled:
            assert "enrolled" not in marks, "the identity is lost"
            assert not config.identity_dir.exists()
            lab.fleet.tokens_used = 0
            enroll(config, token=lab.fleet.token, serial="")
            identity = load_identity(config.identity_dir)
        identity_is_whole(identity, root=lab.world.keys.server["tuf/1.root.json"])
        assert [path.name for path in folder.iterdir()] == ["identity"]

    return CrashPath(program="enrolment", base="bare", args=args, judge=judge)


def renewal(lab: Lab) -> CrashPath:
    """The old identity or the new one, each whole (trust 6.2)."""
    before = (lab.folder / "state" / "identity" / "cert.pem").read_bytes()

    def judge(folder: Path, marks: frozenset[str]) -> None:
        config = lab.config(folder)
        if "renewed" in marks:
            load_identity(config.identity_dir)  # the agent goes on with it, without a start
        recover_identity(config.identity_dir)
        identity = load_identity(config.identity_dir)
        identity_is_whole(identity, root=lab.world.keys.server["tuf/1.root.json"])
        if "renewed" in marks:
            assert identity.certificate_pem != before, "the old certificate is back"
        renew(config, identity)
        identity_is_whole(load_identity(config.identity_dir), root=lab.world.keys.server["tuf/1.root.json"])
        assert [path.name for path in folder.iterdir()] == ["identity"]

    return CrashPath(
        program="renewal",
        base="fresh",
        args=lambda folder: {"state_dir": str(folder), "server": lab.fleet.url},
        judge=judge,
    )


def identity_is_whole(identity: Identity, *, root: bytes) -> None:
    leaf = leaf_of(identity.certificate_path.read_bytes())
    assert PublicKey.of(leaf.public_key()).keyid == identity.key.public.keyid, "key and certificate differ"
    assert (identity.folder / "root.json").read_bytes() == root
    assert identity.ca_path.read_bytes() == identity.enrolled.ca_pem.encode()
    assert is_private(identity.key_path)


def first_start(lab: Lab) -> CrashPath:
    """The state database is made, and the first desired state is accepted (trust 4.2)."""
    older = lab.fleet.want(lab.one).decode()
    newer = lab.fleet.want(lab.two).decode()
    director = lab.world.online_key("director").public.pem().decode()

    async def judged(folder: Path, marks: frozenset[str]) -> None:
        with agent(lab.config(folder)) as booted:
            assert booted.corrupt is None, booted.corrupt
            await booted.supervisor.start()
            booted.supervisor.inbox._db.set_meta("director_pem", director)
            if "accepted" in marks:
                assert booted.supervisor.inbox.state is not None, "the desired state is lost"
                assert not await booted.supervisor.inbox.receive(older.encode()), "a replay is accepted"
            else:
                await booted.supervisor.inbox.receive(newer.encode())
            assert booted.supervisor.inbox.state is not None
            assert [entry.version for entry in booted.supervisor.inbox.state.models] == ["2.0.0"]
            await stopped(booted)

    return CrashPath(
        program="desired",
        base="fresh",
        args=lambda folder: {
            "state_dir": str(folder),
            "server": lab.fleet.url,
            "director": director,
            "envelope": newer,
        },
        judge=lambda folder, marks: asyncio.run(judged(folder, marks)),
    )


def _update(verdict: str, base: str) -> Callable[[Lab], CrashPath]:
    def made(lab: Lab) -> CrashPath:
        return CrashPath(
            program="update",
            base=base,
            args=lambda folder: {"state_dir": str(folder), "server": lab.fleet.url, "verdict": verdict},
            judge=lambda folder, marks: asyncio.run(
                update_keeps_its_promises(lab, folder, marks, verdict=verdict)
            ),
        )

    return made


def removal(lab: Lab) -> CrashPath:
    """1.0.0 is not wanted any more."""
    return CrashPath(
        program="update",
        base="one unlinked",
        args=lambda folder: {"state_dir": str(folder), "server": lab.fleet.url, "verdict": "absent"},
        judge=lambda folder, marks: asyncio.run(removal_keeps_its_promises(lab, folder, marks)),
    )


PATHS: Final[Mapping[str, Callable[[Lab], CrashPath]]] = {
    "first install": first_install,
    "install": install,
    "delta install": delta_install,
    "commit": _update("healthy", "two"),
    "fall back": _update("unhealthy", "two"),
    "late failure": _update("late", "both unlinked"),
    "removal": removal,
    "collection": collection,
    "refresh": refresh,
    "enrolment": enrolment,
    "renewal": renewal,
    "first start": first_start,
}
