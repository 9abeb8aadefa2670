"""The database of last week comes back: the drill, and what devices make of it (trust 2.3, 4.3)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import select

from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_contracts.desired import DesiredState
from limosa_contracts.dsse import Envelope
from limosa_server.access.roles import Role
from limosa_server.app import create_app
from limosa_server.assembly import make_controller, make_state
from limosa_server.tables.devices import Device as DeviceRow
from limosa_server.tables.releases import Release
from tests.fleet_server.device_side import DeviceSide
from tests.fleet_server.serving import served
from tests.fleet_server.signed_release import assign
from tests.fleet_server.world import MODEL, TEAM, Device, Fleet, running_fleet
from tests.support.artifacts import small_artifact


@pytest.fixture
def before(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path) as running:
        yield running


def limosa(*words: str | Path) -> int:
    return run(make_host(), prog_name="limosa", args=[str(word) for word in words])


def at(fleet: Fleet, role: Role) -> list[str]:
    return ["--server", str(fleet.http.base_url), "--token", fleet.token(role)]


def sync(fleet: Fleet) -> int:
    words = ("--sync", "--offline", fleet.offline, "--team", TEAM)
    return limosa("publish", *words, *at(fleet, Role.PUBLISHER))


def publish(fleet: Fleet, artifact: Path) -> str:
    """The sha256 of the release's index."""
    assert limosa("publish", artifact, "--offline", fleet.offline, *at(fleet, Role.PUBLISHER)) == 0
    version = artifact.name.removesuffix(".limosa").rpartition("-")[2]
    with fleet.state.store.read() as tx:
        return tx.exec(select(Release.index_sha256).where(Release.version == version)).one()


@contextmanager
def restored(before: Fleet, backup: Path) -> Iterator[Fleet]:
    """Another process, over the database, blobs and metadata of the backup; keys and epoch are outside it."""
    data = backup.parent / "restored"
    shutil.copytree(backup, data)
    shutil.rmtree(data / "trust")
    shutil.copytree(before.state.settings.trust, data / "trust")
    settings = replace(before.state.settings, data=data)
    state = make_state(settings, before.state.endpoints, before.clock)
    try:
        with served(create_app(state)) as http:
            yield Fleet(state, before.clock, before.offline, http)
    finally:
        state.deltas.stop()
        state.store.close()


def number(envelope: bytes) -> tuple[int, int]:
    return DesiredState.parse(Envelope.parse(envelope, max_bytes=65536).payload).order


def test_a_server_restored_from_a_backup_is_brought_back_by_the_drill(
    before: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = publish(before, small_artifact(tmp_path, f"{MODEL}@1.0.0"))
    device = DeviceSide(before, tmp_path)
    backup = tmp_path / "backup"
    shutil.copytree(before.state.settings.data, backup)
    # Life goes on after the backup: another release, which the device has seen, and newer documents.
    artifact = small_artifact(tmp_path, f"{MODEL}@2.0.0", model=b"other weights")
    second = publish(before, artifact)
    assert "directory" in device.install("2.0.0", second)
    assign(before, device.device, "2.0.0", second)
    assert device.obeys(device.document())
    seen = device.inbox.order
    before.clock.now += 60
    with restored(before, backup) as after:
        device.fleet = after
        assert device.install("1.0.0", first).get("code"), "what the device has seen is newer"
        capsys.readouterr()
        assert sync(after) == 2
        said = capsys.readouterr().err
        assert "demo/motion/2.0.0" in said, said
        assert "publish these artifacts again" in said
        assert publish(after, artifact) == second
        assert sync(after) == 0
        assert limosa("server", "epoch", "bump", *at(after, Role.ADMIN)) == 0
        for version, index in (("1.0.0", first), ("2.0.0", second)):
            assert "directory" in device.install(version, index)
        assign(after, device.device, "1.0.0", first)
        envelope = device.document()
        assert number(envelope) > seen
        assert device.obeys(envelope)
    device.close()


def test_without_a_new_epoch_the_server_jumps_over_what_devices_have_seen(
    before: Fleet, tmp_path: Path
) -> None:
    """trust 4.3: the clock of the new machine is a year behind."""
    device = DeviceSide(before, tmp_path)
    assert device.obeys(device.document())
    seen = device.inbox.order
    before.clock.now -= 365 * 86400.0
    with before.state.store.transaction() as tx:
        row = tx.get_one(DeviceRow, device.device.id)
        row.desired_epoch, row.desired_counter = seen  # as it reports
        tx.add(row)
    make_controller(before.state).tick()
    assert number(device.document()) > seen
    device.close()


def test_an_epoch_begins_above_every_one_that_a_device_has_obeyed(before: Fleet) -> None:
    """The epoch file itself came from an old backup."""
    one: Device = before.enroll()
    with before.state.store.transaction() as tx:
        row = tx.get_one(DeviceRow, one.id)
        row.desired_epoch = 5
        tx.add(row)
    admin = before.headers()
    assert before.http.get("/api/v1/server/epoch", headers=admin).json() == {"epoch": 1, "seen": 5}
    assert before.http.post("/api/v1/server/epoch/bump", json={}, headers=admin).json()["epoch"] == 6
    assert before.state.trust.epoch() == 6
    rows = before.http.get("/api/v1/audit", headers=admin).json()["items"]
    assert [(row["action"], row["before"], row["after"]) for row in rows][-1] == (
        "server.epoch", 1, {"epoch": 6},
    )  # fmt: skip
    for role in (Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.PUBLISHER):
        assert (
            before.http.post("/api/v1/server/epoch/bump", json={}, headers=before.headers(role)).status_code
            == 403
        )
