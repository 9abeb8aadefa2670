from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Targets

from limosa_compiler.artifact.archive_file import Archive, read_archive
from limosa_compiler.trust.errors import (
    DamagedMetadata,
    ExpiredMetadata,
    PublishRace,
    ServerRefused,
    VersionTaken,
    WrongTeam,
)
from limosa_compiler.trust.offline_folder import add_team, open_team, refresh_team
from limosa_compiler.trust.publishing import Published
from limosa_compiler.trust.releases import find_release
from limosa_contracts.errors import LinkLost, TransferError
from limosa_contracts.names import ReleaseName
from limosa_contracts.promise import VariantPromise
from limosa_contracts.release import ReleaseCustom
from tests.compiler.trust.conftest import Fleet
from tests.support.artifacts import small_artifact
from tests.support.local_tuf import find_target, write_repository


def artifact(tmp_path: Path, release: str = "demo/motion@1.0.0", model: bytes = b"weights") -> Archive:
    return read_archive(small_artifact(tmp_path, release, model=model))


def publish(fleet: Fleet, archive: Archive, *, offline: Path | None = None) -> Published:
    with fleet.server() as server:
        return fleet.publisher(server, offline=offline).publish(archive)


def listed(fleet: Fleet, release: str, *, offline: Path | None = None) -> str | None:
    """The digest under which the folder lists a release."""
    name = ReleaseName.parse(release)
    folder = open_team(offline or fleet.offline, "demo", {})
    found = find_release(folder.signed[folder.bin_for(name.target_path)].signed, name)
    return found.index_sha256 if found else None


def served(fleet: Fleet, release: str) -> str | None:
    """The digest under which the server lists a release."""
    path = ReleaseName.parse(release).target_path
    for data in fleet.store.roles.values():
        target = Metadata[Targets].from_bytes(data).signed.targets.get(path)
        if target is not None:
            return target.hashes["sha256"]
    return None


def test_stock_client_finds_a_published_release_through_team_and_bin(fleet: Fleet, tmp_path: Path) -> None:
    done = publish(fleet, artifact(tmp_path))
    top = next((fleet.trust / "tuf").glob("*.targets.json")).read_bytes()
    repository = write_repository(tmp_path / "tuf", fleet.trust, {**fleet.store.roles, "targets": top})
    found = find_target(repository, tmp_path / "client", "demo/motion/1.0.0/index.json")
    assert found is not None
    assert found.hashes["sha256"] == done.signed.index.sha256
    assert found.length == len(fleet.store.manifests[done.signed.index.digest])
    assert ReleaseCustom.parse(found.custom) == done.target.custom


def test_promises_are_signed_with_the_release_and_stay_as_they_were_first(
    fleet: Fleet, tmp_path: Path
) -> None:
    promises = {"rpi4": VariantPromise(latency_us=4000, memory_bytes=5_000_000)}
    archive = artifact(tmp_path)
    with fleet.server() as server:
        done = fleet.publisher(server).publish(archive, promises=promises)
        assert done.target.custom.promises == promises
        again = fleet.publisher(server).publish(archive, promises={"rpi4": VariantPromise(latency_us=1)})
    assert (again.already, again.target.custom.promises) == (True, promises)


def test_server_has_every_blob_manifest_and_tag_of_what_was_published(fleet: Fleet, tmp_path: Path) -> None:
    done = publish(fleet, artifact(tmp_path))
    assert done.pushed is not None
    assert done.pushed.blobs == len(fleet.store.blobs) > 0
    assert {**fleet.store.blobs, **fleet.store.manifests} == done.signed.blobs
    assert fleet.store.tags["1.0.0"] == done.signed.index.digest
    assert listed(fleet, "demo/motion@1.0.0") == served(fleet, "demo/motion@1.0.0")


def test_publishing_again_sends_no_blob_and_lists_nothing_new(fleet: Fleet, tmp_path: Path) -> None:
    first = publish(fleet, artifact(tmp_path))
    roles = dict(fleet.store.roles)
    again = publish(fleet, artifact(tmp_path))
    assert (again.already, first.already) == (True, False)
    assert again.pushed is not None
    assert again.pushed.blobs == 0
    assert (again.target, again.signed) == (first.target, first.signed)
    assert fleet.store.roles == roles


def test_other_contents_under_a_published_version_are_refused(fleet: Fleet, tmp_path: Path) -> None:
    publish(fleet, artifact(tmp_path))
    blobs, digest = dict(fleet.store.blobs), listed(fleet, "demo/motion@1.0.0")
    with pytest.raises(VersionTaken):
        publish(fleet, artifact(tmp_path, model=b"others"))
    assert fleet.store.blobs == blobs
    assert listed(fleet, "demo/motion@1.0.0") == served(fleet, "demo/motion@1.0.0") == digest


def test_counter_grows_and_the_way_back_is_what_is_in_production(fleet: Fleet, tmp_path: Path) -> None:
    counters = []
    for version in ("1.0.0", "2.0.0", "2.0.1", "10.0.0"):
        done = publish(fleet, artifact(tmp_path, f"demo/motion@{version}"))
        counters.append(done.target.custom.release_counter)
        fleet.store.production.append(version)
    assert counters == sorted(set(counters))
    assert done.target.custom.may_return_to == ("1.0.0", "2.0.0", "2.0.1")


def test_artifact_of_another_team_is_not_signed(fleet: Fleet, tmp_path: Path) -> None:
    archive = artifact(tmp_path, "audio/kws@1.0.0")
    with pytest.raises(WrongTeam, match="audio/kws"):
        publish(fleet, archive)
    assert (fleet.store.blobs, fleet.store.requests) == ({}, [])


def test_key_of_another_team_opens_no_folder(fleet: Fleet) -> None:
    add_team(fleet.offline, fleet.trust, "audio", now=datetime.now(UTC), environment={})
    key = fleet.offline / "teams/audio/team.pem"
    shutil.copy(key, fleet.offline / "teams/demo/team.pem")
    with pytest.raises(WrongTeam):
        fleet.publisher()


def test_expired_role_publishes_nothing_until_it_is_refreshed(fleet: Fleet, tmp_path: Path) -> None:
    refresh_team(open_team(fleet.offline, "demo", {}), datetime.now(UTC) - timedelta(days=91))
    for data in (fleet.offline / "teams/demo/metadata").glob("*.json"):
        fleet.store.roles[data.stem] = data.read_bytes()
    with pytest.raises(ExpiredMetadata):
        publish(fleet, artifact(tmp_path))
    assert fleet.store.blobs == {}
    refresh_team(open_team(fleet.offline, "demo", {}), datetime.now(UTC))
    publish(fleet, artifact(tmp_path))
    assert served(fleet, "demo/motion@1.0.0")


@pytest.mark.parametrize("file", ["demo.json", "demo-bins-0.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "empty", "list"])
def test_damaged_folder_is_refused_and_named(fleet: Fleet, file: str, damage: str) -> None:
    path = fleet.offline / "teams/demo/metadata" / file
    data = path.read_bytes()
    damaged = {
        "cut": data[: len(data) // 2],
        "flip": data.replace(b'"version":1', b'"version":2'),
        "gone": None,
        "empty": b"",
        "list": b"[]",
    }[damage]
    if damaged is None:
        path.unlink()
    else:
        assert damaged != data
        path.write_bytes(damaged)
    with pytest.raises((DamagedMetadata, WrongTeam)) as caught:
        fleet.publisher()
    assert str(path.parent) in caught.value.where


def test_bin_signed_by_another_team_is_refused(fleet: Fleet) -> None:
    add_team(fleet.offline, fleet.trust, "audio", now=datetime.now(UTC), environment={})
    theirs = fleet.offline / "teams/audio/metadata/audio-bins-3.json"
    shutil.copy(theirs, fleet.offline / "teams/demo/metadata/demo-bins-3.json")
    with pytest.raises(DamagedMetadata, match="demo-bins-3"):
        fleet.publisher()


def test_lost_answer_after_the_server_took_it_leaves_both_sides_equal(fleet: Fleet, tmp_path: Path) -> None:
    """The server commits, the answer never comes: the retry finds the release listed."""
    lost = iter([-1])

    def bend(method: str, path: str) -> int | None:
        return next(lost, None) if method == "PUT" and path.endswith("/metadata") else None

    fleet.store.refuse = bend
    publish(fleet, artifact(tmp_path))
    assert listed(fleet, "demo/motion@1.0.0") == served(fleet, "demo/motion@1.0.0") is not None


def test_publisher_that_dies_before_the_server_answers_finishes_with_the_same_command(
    fleet: Fleet, tmp_path: Path
) -> None:
    def down(method: str, path: str) -> int | None:
        return 0 if method == "PUT" and path.endswith("/metadata") else None

    fleet.store.refuse = down
    with pytest.raises(LinkLost):
        publish(fleet, artifact(tmp_path))
    assert listed(fleet, "demo/motion@1.0.0") is not None  # ahead of the server: write-ahead
    assert served(fleet, "demo/motion@1.0.0") is None
    fleet.store.refuse = lambda method, path: None
    publish(fleet, artifact(tmp_path))
    assert listed(fleet, "demo/motion@1.0.0") == served(fleet, "demo/motion@1.0.0")


def test_clear_refusal_leaves_the_folder_as_it_was(fleet: Fleet, tmp_path: Path) -> None:
    folder = fleet.offline / "teams/demo/metadata"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    fleet.store.refuse = lambda method, path: 422 if path.endswith("/metadata") and method == "PUT" else None
    with pytest.raises(ServerRefused) as caught:
        publish(fleet, artifact(tmp_path))
    assert caught.value.evidence["status"] == 422
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_two_publishers_at_once_are_both_listed(fleet: Fleet, tmp_path: Path) -> None:
    """Versions of one model that fall into one bin; the second was overtaken and signs again."""
    folder = open_team(fleet.offline, "demo", {})
    ours = "demo/motion@1.0.0"
    role = folder.bin_for(ReleaseName.parse(ours).target_path)
    theirs = next(
        name
        for name in (f"demo/motion@2.0.{i}" for i in range(1000))
        if folder.bin_for(ReleaseName.parse(name).target_path) == role
    )
    other = tmp_path / "other"
    shutil.copytree(fleet.offline, other)

    def faster() -> None:
        publish(fleet, artifact(tmp_path, theirs), offline=other)

    fleet.store.before_put.append(faster)
    second = publish(fleet, artifact(tmp_path))
    assert served(fleet, ours)
    assert served(fleet, theirs)
    assert listed(fleet, theirs) == served(fleet, theirs)
    first = find_release(
        Metadata[Targets].from_bytes(fleet.store.roles[role]).signed, ReleaseName.parse(theirs)
    )
    assert first is not None
    assert second.target.custom.release_counter > first.custom.release_counter


def test_publisher_that_is_overtaken_every_time_gives_up(fleet: Fleet, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(fleet.offline, other)

    def overtake() -> None:
        folder = open_team(other, "demo", {})
        refresh_team(folder, datetime.now(UTC) + timedelta(days=len(fleet.store.before_put)))
        fleet.store.roles.update(folder.files)

    fleet.store.before_put.extend([overtake] * 10)
    with pytest.raises(PublishRace):
        publish(fleet, artifact(tmp_path))
    assert served(fleet, "demo/motion@1.0.0") is None
    assert listed(fleet, "demo/motion@1.0.0") is None


def test_restored_server_gets_everything_back_by_sync(fleet: Fleet, tmp_path: Path) -> None:
    backup = dict(fleet.store.roles)
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        publish(fleet, artifact(tmp_path, f"demo/motion@{version}"))
    after = dict(fleet.store.roles)
    fleet.store.roles = backup
    with fleet.server() as server:
        sent = fleet.publisher(server).sync()
        assert 1 <= len(sent) <= 3
        assert fleet.publisher(server).sync() == ()
    assert {fleet.store.version(role) for role in after} == {
        Metadata[Targets].from_bytes(data).signed.version for data in after.values()
    }
    assert all(served(fleet, f"demo/motion@{version}") for version in ("1.0.0", "2.0.0", "3.0.0"))


def test_restored_server_that_took_a_release_since_loses_neither_side(fleet: Fleet, tmp_path: Path) -> None:
    """A backup comes back, a colleague publishes to it, then the first folder syncs: all are listed."""
    colleague = tmp_path / "colleague"
    shutil.copytree(fleet.offline, colleague)
    backup = dict(fleet.store.roles)
    for patch in range(6):
        publish(fleet, artifact(tmp_path, f"demo/motion@1.0.{patch}"))
    fleet.store.roles = backup
    for patch in range(6):
        publish(fleet, artifact(tmp_path, f"demo/motion@2.0.{patch}"), offline=colleague)
    with fleet.server() as server:
        fleet.publisher(server).sync()
        fleet.publisher(server, offline=colleague).sync()
    for major in (1, 2):
        for patch in range(6):
            release = f"demo/motion@{major}.0.{patch}"
            assert (
                served(fleet, release) == listed(fleet, release) == listed(fleet, release, offline=colleague)
            )


def test_signed_without_a_server_then_sent_later(fleet: Fleet, tmp_path: Path) -> None:
    archive = artifact(tmp_path)
    alone = fleet.publisher().publish(archive)
    assert alone.pushed is None
    assert listed(fleet, "demo/motion@1.0.0") == alone.signed.index.sha256
    later = publish(fleet, archive)
    assert later.target == alone.target
    assert served(fleet, "demo/motion@1.0.0") == alone.signed.index.sha256


def test_link_that_breaks_once_for_each_kind_of_request_changes_nothing(fleet: Fleet, tmp_path: Path) -> None:
    broken: set[str] = set()

    def flaky(method: str, path: str) -> int | None:
        """Each method fails once."""
        if method in broken:
            return None
        broken.add(method)
        return 0

    fleet.store.refuse = flaky
    done = publish(fleet, artifact(tmp_path))
    assert broken == {"GET", "HEAD", "POST", "PATCH", "PUT"}
    assert {**fleet.store.blobs, **fleet.store.manifests} == done.signed.blobs


def test_server_that_serves_a_forged_bin_is_not_believed(fleet: Fleet, tmp_path: Path) -> None:
    role = "demo-bins-5"
    forged = Metadata[Targets].from_bytes(fleet.store.roles[role])
    forged.signed.version += 1
    fleet.store.roles[role] = forged.to_bytes()
    before = (fleet.offline / f"teams/demo/metadata/{role}.json").read_bytes()
    with pytest.raises(DamagedMetadata, match="server's demo-bins-5"):
        publish(fleet, artifact(tmp_path))
    assert (fleet.offline / f"teams/demo/metadata/{role}.json").read_bytes() == before


def test_server_that_is_gone_is_an_error_to_retry(fleet: Fleet, tmp_path: Path) -> None:
    fleet.store.refuse = lambda method, path: 503
    with pytest.raises(TransferError):
        publish(fleet, artifact(tmp_path))
    assert listed(fleet, "demo/motion@1.0.0") is None
