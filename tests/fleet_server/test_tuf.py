"""What teams signed reaches devices through a stock TUF client; what they did not, does not (trust 2)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.ngclient import Updater, UpdaterConfig

from limosa_compiler.trust import roles
from limosa_contracts.release import DIRECTOR_TARGET
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_server.access.roles import Role
from tests.fleet_server.publishing import (
    Team,
    current_bin,
    make_blobs,
    publish,
    push,
    put_metadata,
)
from tests.fleet_server.world import TEAM, Fleet

RELEASE = "demo/motion@1.0.0"
PATH = "demo/motion/1.0.0/index.json"


@pytest.fixture
def team(fleet: Fleet) -> Team:
    return Team(fleet.offline)


def updater(fleet: Fleet, folder: Path) -> Updater:
    """python-tuf's own client, bootstrapped with the root that enrolment gives."""
    folder.mkdir(exist_ok=True)
    base = str(fleet.http.base_url).rstrip("/")
    return Updater(
        str(folder),
        f"{base}/tuf/metadata/",
        str(folder),
        f"{base}/tuf/targets/",
        config=UpdaterConfig(prefix_targets_with_hash=True),
        bootstrap=fleet.state.trust.root().encode(),
    )


def test_a_published_release_reaches_a_stock_tuf_client(fleet: Fleet, team: Team, tmp_path: Path) -> None:
    answer = publish(fleet.http, fleet.headers(Role.PUBLISHER), team, RELEASE, b"1")
    assert answer.status_code == 200, answer.text
    [release] = answer.json()["releases"]
    assert (release["name"], release["version"], release["stage"]) == ("demo/motion", "1.0.0", "staging")
    assert [(one["name"], one["precision"]) for one in release["variants"]] == [("cpu-int8", "int8")]
    client = updater(fleet, tmp_path / "client")
    info = client.get_targetinfo(PATH)
    assert info is not None
    assert Path(client.download_target(info)).read_bytes() == make_blobs(b"1").index
    director = client.get_targetinfo(DIRECTOR_TARGET)
    assert director is not None
    assert "PUBLIC KEY" in json.loads(Path(client.download_target(director)).read_bytes())["pem"]


def test_of_two_publishers_at_once_the_second_is_told(fleet: Fleet, team: Team) -> None:
    headers = fleet.headers(Role.PUBLISHER)
    blobs = make_blobs(b"1")
    push(fleet.http, headers, blobs)
    role = team.bin_of(RELEASE)
    seen = current_bin(fleet.http, headers, role)
    mine = team.sign(seen.content, RELEASE, blobs.index)
    assert put_metadata(fleet.http, headers, {role: mine}, if_match=seen.headers["etag"]).status_code == 200
    second = put_metadata(fleet.http, headers, {role: mine}, if_match=seen.headers["etag"])
    assert (second.status_code, second.json()["code"]) == (412, "LM-601")


def refused(fleet: Fleet, files: dict[str, bytes]) -> str:
    answer = put_metadata(fleet.http, fleet.headers(Role.PUBLISHER), files)
    assert answer.status_code in (404, 409, 422), answer.text
    assert fleet.http.get("/api/v1/releases", headers=fleet.headers()).json()["items"] == []
    return str(answer.json()["code"])


def test_metadata_signed_by_another_key_is_refused(fleet: Fleet, team: Team) -> None:
    headers, blobs, role = fleet.headers(Role.PUBLISHER), make_blobs(b"1"), team.bin_of(RELEASE)
    push(fleet.http, headers, blobs)
    current = current_bin(fleet.http, headers, role).content
    other = SigningKey.generate(Algorithm.P256)
    assert refused(fleet, {role: team.sign(current, RELEASE, blobs.index, key=other)}) == "LM-607"


def test_a_release_whose_blobs_are_missing_is_refused(fleet: Fleet, team: Team) -> None:
    headers, role = fleet.headers(Role.PUBLISHER), team.bin_of(RELEASE)
    current = current_bin(fleet.http, headers, role).content
    assert refused(fleet, {role: team.sign(current, RELEASE, make_blobs(b"1").index)}) == "LM-604"


def test_a_release_in_a_bin_that_is_not_its_own_is_refused(fleet: Fleet, team: Team) -> None:
    headers, blobs = fleet.headers(Role.PUBLISHER), make_blobs(b"1")
    push(fleet.http, headers, blobs)
    other = next(f"{TEAM}-bins-{i:x}" for i in range(16) if f"{TEAM}-bins-{i:x}" != team.bin_of(RELEASE))
    current = current_bin(fleet.http, headers, other).content
    assert refused(fleet, {other: team.sign(current, RELEASE, blobs.index)}) == "LM-607"


def test_a_release_under_another_teams_path_is_refused(fleet: Fleet, team: Team) -> None:
    headers, blobs = fleet.headers(Role.PUBLISHER), make_blobs(b"1")
    push(fleet.http, headers, blobs)
    foreign = "vision/motion@1.0.0"
    role = team.bin_of(foreign)
    current = current_bin(fleet.http, headers, role).content
    assert refused(fleet, {role: team.sign(current, foreign, blobs.index)}) == "LM-607"


def test_expired_metadata_is_refused(fleet: Fleet, team: Team) -> None:
    headers, blobs, role = fleet.headers(Role.PUBLISHER), make_blobs(b"1"), team.bin_of(RELEASE)
    push(fleet.http, headers, blobs)
    current = current_bin(fleet.http, headers, role).content
    old = datetime.now(UTC) - timedelta(days=200)
    assert refused(fleet, {role: team.sign(current, RELEASE, blobs.index, now=old)}) == "LM-607"


def test_older_metadata_is_refused(fleet: Fleet, team: Team) -> None:
    role = team.bin_of(RELEASE)
    same = current_bin(fleet.http, fleet.headers(), role).content
    assert refused(fleet, {role: same}) == "LM-607"


@pytest.mark.parametrize("name", ["targets", "root", "snapshot", "vision", "demo-bins-zz", "../x"])
def test_roles_that_are_not_the_teams_are_refused(fleet: Fleet, name: str) -> None:
    empty = roles.signed(roles.make_targets(9, datetime.now(UTC) + timedelta(days=1)), []).to_bytes()
    assert refused(fleet, {name: empty}) in ("LM-607", "LM-410")


@pytest.mark.parametrize("document", [{}, {"signed": 1}, {"signed": {}, "signatures": []}, [1], "x"])
def test_what_is_not_metadata_is_refused(fleet: Fleet, team: Team, document: object) -> None:
    answer = fleet.http.put(
        f"/api/v1/teams/{TEAM}/metadata",
        json={"metadata": {f"{team.bin_of(RELEASE)}.json": document}},
        headers=fleet.headers(Role.PUBLISHER),
    )
    assert answer.status_code == 422


def test_a_version_cannot_be_published_again_with_other_bytes(fleet: Fleet, team: Team) -> None:
    headers = fleet.headers(Role.PUBLISHER)
    assert publish(fleet.http, headers, team, RELEASE, b"1").status_code == 200
    role = team.bin_of(RELEASE)
    blobs = make_blobs(b"2")
    push(fleet.http, headers, blobs)
    pristine = (fleet.offline / "teams" / TEAM / "metadata" / f"{role}.json").read_bytes()
    later = datetime.now(UTC) + timedelta(seconds=60)
    answer = put_metadata(fleet.http, headers, {role: team.sign(pristine, RELEASE, blobs.index, now=later)})
    assert (answer.status_code, answer.json()["code"]) == (409, "LM-414")


def test_the_timestamp_is_signed_anew_before_it_ends(fleet: Fleet, tmp_path: Path) -> None:
    def version() -> int:
        return int(fleet.http.get("/tuf/metadata/timestamp.json").json()["signed"]["version"])

    before = version()
    fleet.state.tuf.republish(fleet.clock.now + 3600)
    assert version() == before
    fleet.state.tuf.republish(fleet.clock.now + 13 * 3600)
    assert version() > before
    updater(fleet, tmp_path / "client").refresh()


@pytest.mark.parametrize(
    "name", ["..%2f..%2fadmin.token", "1.root.json.bak", "timestamp", "x.json", "%00.json"]
)
def test_only_metadata_is_served(fleet: Fleet, name: str) -> None:
    assert fleet.http.get(f"/tuf/metadata/{name}").status_code == 404
