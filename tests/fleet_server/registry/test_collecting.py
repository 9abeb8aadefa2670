"""Bytes go when nothing needs them, and never under a push (server 5)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.oci import MANIFEST, digest_of
from limosa_server.access.roles import Role
from limosa_server.core.lifecycle.retention import InUse, Kept, reasons
from limosa_server.tables.lifecycle import ReleaseCount, ReleaseDevice
from limosa_server.tables.modes import ShadowAssignmentRow
from limosa_server.tables.rollouts import RolloutRow
from tests.fleet_server.publishing import (
    Blobs,
    Team,
    current_bin,
    make_blobs,
    push,
    push_blob,
    push_manifest,
    put_metadata,
)
from tests.fleet_server.world import MODEL, Fleet

DAY = 86400.0


def published(fleet: Fleet, version: str, content: bytes) -> Blobs:
    """Counters are seconds: each version is signed minutes after the one before."""
    headers, team = fleet.headers(Role.PUBLISHER), Team(fleet.offline)
    release, blobs = f"{MODEL}@{version}", make_blobs(content)
    push(fleet.http, headers, blobs)
    role = team.bin_of(release)
    seen = current_bin(fleet.http, headers, role)
    moment = datetime.now(UTC) + timedelta(minutes=10 * int(version[0]) + int(version[2]))
    signed = team.sign(seen.content, release, blobs.index, now=moment)
    answer = put_metadata(fleet.http, headers, {role: signed}, if_match=seen.headers["etag"])
    assert answer.status_code == 200, answer.text
    return blobs


def archive(fleet: Fleet, version: str) -> None:
    answer = fleet.http.post(
        f"/api/v1/releases/{MODEL}/{version}/archive", json={"reason": "old"}, headers=fleet.headers()
    )
    assert answer.status_code == 200, answer.text


def collect(fleet: Fleet, *, dry_run: bool = False) -> dict[str, Any]:
    answer = fleet.http.post("/api/v1/releases/collect", json={"dry_run": dry_run}, headers=fleet.headers())
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def there(fleet: Fleet, data: bytes) -> bool:
    answer = fleet.http.get(f"/v2/{MODEL}/blobs/{digest_of(data)}", headers=fleet.headers(Role.VIEWER))
    on_disk = fleet.state.blobs.size(hashlib.sha256(data).hexdigest()) is not None
    assert on_disk == (answer.status_code == 200)
    return on_disk


def test_an_archived_release_loses_its_bytes_after_its_time_and_keeps_its_record(fleet: Fleet) -> None:
    old, new = published(fleet, "1.0.0", b"one"), published(fleet, "2.0.0", b"two")
    archive(fleet, "1.0.0")
    fleet.clock.now += 2 * DAY
    kept = collect(fleet)
    assert (kept["blobs"], kept["kept"]) == (0, {f"{MODEL}@1.0.0": "it left 2d ago"})
    fleet.clock.now += 29 * DAY
    dry = collect(fleet, dry_run=True)
    assert there(fleet, old.weight)
    done = collect(fleet)
    assert dry["releases"] == done["releases"] == [f"{MODEL}@1.0.0"]
    assert dry["blobs"] == done["blobs"] == 3  # index, manifest, weights; the config is shared
    assert dry["freed_bytes"] == done["freed_bytes"] > 0
    assert not there(fleet, old.weight)
    assert not there(fleet, old.manifest)
    assert there(fleet, new.weight)
    assert there(fleet, old.config)
    shown = fleet.http.get(f"/api/v1/releases/{MODEL}/1.0.0", headers=fleet.headers()).json()
    assert shown["collected_at"] == fleet.clock.now
    assert [step["what"] for step in shown["steps"]] == ["published", "archived", "collected"]
    assert collect(fleet)["blobs"] == 0


def test_what_a_device_runs_stays_however_long_ago_it_was_archived(fleet: Fleet) -> None:
    old = published(fleet, "1.0.0", b"one")
    archive(fleet, "1.0.0")
    with fleet.state.store.transaction() as tx:
        sha256 = hashlib.sha256(old.index).hexdigest()
        tx.add(ReleaseCount(index_sha256=sha256, model=MODEL, version="1.0.0", devices=1))
        tx.add(ReleaseDevice(device="d", model=MODEL, version="1.0.0", index_sha256=sha256, since=0.0))
    fleet.clock.now += 60 * DAY
    assert collect(fleet)["kept"] == {f"{MODEL}@1.0.0": "devices run it"}
    assert there(fleet, old.weight)


def test_a_challenger_that_devices_are_to_fetch_stays(fleet: Fleet) -> None:
    """Nobody reports it yet, and no desired document answers with it: devices run it beside."""
    beside = published(fleet, "1.0.0", b"one")
    device = fleet.enroll()
    archive(fleet, "1.0.0")
    sha256 = hashlib.sha256(beside.index).hexdigest()
    with fleet.state.store.transaction() as tx:
        tx.add(ended_rollout(sha256))
        tx.flush()
        tx.add(
            ShadowAssignmentRow(
                device=device.id, model=MODEL, version="1.0.0", index_sha256=sha256, rollout=1, updated_at=0
            )
        )
    fleet.clock.now += 60 * DAY
    assert collect(fleet)["kept"] == {f"{MODEL}@1.0.0": "devices are told to run it"}
    assert there(fleet, beside.weight)


def ended_rollout(sha256: str) -> RolloutRow:
    return RolloutRow(
        id=1, model=MODEL, version="1.0.0", index_sha256=sha256, target="all", salt="s", fingerprint="f",
        status="COMPLETED", reason="", since=0, created_at=0, created_by="test", ended_at=0, lane="shadow",
    )  # fmt: skip


def test_a_push_that_is_under_way_loses_nothing(fleet: Fleet) -> None:
    """Blobs come first, the manifest last; and what is here already is only asked for."""
    headers = fleet.headers(Role.PUBLISHER)
    blobs = make_blobs(b"slow")
    push_blob(fleet.http, headers, blobs.config)
    push_blob(fleet.http, headers, blobs.weight)
    fleet.clock.now += 0.9 * DAY
    assert collect(fleet)["blobs"] == 0
    asked = fleet.http.head(
        f"/v2/{MODEL}/blobs/{digest_of(blobs.weight)}", headers=fleet.headers(Role.PUBLISHER)
    )
    assert asked.status_code == 200
    push_blob(fleet.http, fleet.headers(Role.PUBLISHER), blobs.config)  # sent again
    fleet.clock.now += 0.9 * DAY
    assert collect(fleet)["blobs"] == 0
    done = push_manifest(fleet.http, fleet.headers(Role.PUBLISHER), blobs.manifest, MANIFEST)
    assert done.status_code == 201, done.text
    fleet.clock.now += 1.1 * DAY
    assert collect(fleet)["blobs"] == 3  # it never became a release
    assert not there(fleet, blobs.weight)


def test_a_file_that_came_in_again_between_the_rows_and_the_files_stays(fleet: Fleet) -> None:
    """The rows are gone, a push brings the bytes back, then the files are looked at."""
    data = b"again and again"
    sha256 = fleet.state.blobs.add(data)
    fleet.clock.now += 2 * DAY  # the file is as old as the real clock says: older than the grace
    assert fleet.state.blobs.remove(sha256, written_before=0.0) == 0
    assert fleet.state.blobs.size(sha256) == len(data)
    assert collect(fleet)["freed_bytes"] >= len(data)  # no row: an orphan of a crash
    assert fleet.state.blobs.size(sha256) is None


def test_what_was_collected_can_be_published_again(fleet: Fleet) -> None:
    old = published(fleet, "1.0.0", b"one")
    archive(fleet, "1.0.0")
    fleet.clock.now += 31 * DAY
    collect(fleet)
    assert not there(fleet, old.weight)
    published(fleet, "2.0.0", b"two")
    published(fleet, "3.0.0", b"one")
    assert there(fleet, old.weight)


def test_a_manifest_that_rotted_stops_the_collection_of_its_repository(fleet: Fleet) -> None:
    old, new = published(fleet, "1.0.0", b"one"), published(fleet, "2.0.0", b"two")
    archive(fleet, "1.0.0")
    fleet.clock.now += 31 * DAY
    fleet.state.blobs.path(hashlib.sha256(new.manifest).hexdigest()).write_bytes(b"rot")
    assert "cannot be read" in collect(fleet)["kept"][MODEL]
    assert there(fleet, old.weight)


VERSIONS = ("1.0.0", "2.0.0", "3.0.0", "4.0.0")


@given(
    stages=st.lists(st.sampled_from(["staging", "production", "archived"]), min_size=4, max_size=4),
    retracted=st.lists(st.booleans(), min_size=4, max_size=4),
    running=st.sets(st.sampled_from(VERSIONS)),
    previous=st.sets(st.sampled_from(VERSIONS)),
    back=st.lists(st.sets(st.sampled_from(VERSIONS)), min_size=4, max_size=4),
)
def test_nothing_that_is_used_ever_goes(
    stages: list[str],
    retracted: list[bool],
    running: set[str],
    previous: set[str],
    back: list[set[str]],
) -> None:
    releases = [
        Kept(
            id=place, model="m/m", version=version, index_sha256=version, stage=stages[place],
            retracted=retracted[place], left_at=0.0, may_return_to=tuple(sorted(back[place])),
        )
        for place, version in enumerate(VERSIONS)
    ]  # fmt: skip
    use = InUse(
        running=frozenset(running), wanted=frozenset(), rollouts=frozenset(),
        previous=frozenset(("m/m", version) for version in previous),
    )  # fmt: skip
    needed = reasons(releases, use, now=1e9, keep_s=DAY)
    for place, one in enumerate(releases):
        used = one.version in running or one.version in previous
        in_stage = one.stage != "archived" and not one.retracted
        if used or in_stage:
            assert place in needed
            for other in releases:
                if other.version in one.may_return_to:
                    assert other.id in needed
