"""What one team, its token or its publisher, tries against the others."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata, Targets

from limosa_compiler.trust import roles
from limosa_contracts.errors import LimosaError
from limosa_contracts.oci import digest_of
from limosa_server.access.roles import Role
from limosa_server.registry.blobs import Blobs
from limosa_server.tables.access import ApiToken
from tests.fleet_server.publishing import Team, current_bin, publish, put_metadata
from tests.fleet_server.world import TEAM, Fleet


@pytest.fixture
def team(fleet: Fleet) -> Team:
    return Team(fleet.offline)


def signed_again(team: Team, body: bytes, **changes: Any) -> bytes:
    """The role with other fields, signed by the team's own key."""
    metadata = Metadata[Targets].from_bytes(body)
    metadata.signed.version += 1
    for name, value in changes.items():
        setattr(metadata.signed, name, value)
    return roles.signed(metadata.signed, [team.key]).to_bytes()


def test_a_team_cannot_call_its_bins_by_another_teams_name(fleet: Fleet, team: Team) -> None:
    """Its bin would have replaced the other's in the snapshot, and archived all of its releases."""
    headers = fleet.headers(Role.PUBLISHER)
    assert publish(fleet.http, headers, team, "demo/motion@1.0.0", b"1").status_code == 200
    own = current_bin(fleet.http, headers, TEAM).content
    delegations = Metadata[Targets].from_bytes(own).signed.delegations
    assert delegations is not None
    assert delegations.succinct_roles is not None
    delegations.succinct_roles.name_prefix = "victim-bins"
    answer = put_metadata(fleet.http, headers, {TEAM: signed_again(team, own, delegations=delegations)})
    assert (answer.status_code, answer.json()["code"]) == (422, "LM-607")
    assert "victim-bins" in answer.json()["detail"]


@pytest.mark.parametrize("version", [10**12, 2**63, 10**30])
def test_a_version_that_could_not_be_served_is_refused(fleet: Fleet, team: Team, version: int) -> None:
    """All devices of all teams would have looked for a file that no server gives."""
    headers = fleet.headers(Role.PUBLISHER)
    role = team.bin_of("demo/motion@1.0.0")
    body = signed_again(team, current_bin(fleet.http, headers, role).content, version=version)
    answer = put_metadata(fleet.http, headers, {role: body})
    assert (answer.status_code, answer.json()["code"]) == (422, "LM-607")


def test_an_admin_of_one_team_makes_and_ends_no_tokens_beyond_it(fleet: Fleet) -> None:
    """A bound token made itself an unbound one."""
    bound = {"Authorization": f"Bearer {fleet.token(Role.ADMIN, team='demo')}"}
    body = {"name": "x", "role": "admin"}
    assert fleet.http.post("/api/v1/tokens", json=body, headers=bound).status_code == 403
    other = fleet.http.post("/api/v1/tokens", json={**body, "team": "other"}, headers=bound)
    assert (other.status_code, other.json()["code"]) == (403, "LM-401")
    assert fleet.http.post("/api/v1/tokens", json={**body, "team": "demo"}, headers=bound).status_code == 201
    victim = fleet.token(Role.PUBLISHER, team="other").partition(".")[0].removeprefix("lmp_")
    # It is not told that there is such a token.
    assert fleet.http.delete(f"/api/v1/tokens/{victim}", headers=bound).status_code == 404
    with fleet.state.store.read() as tx:
        assert tx.get_one(ApiToken, victim).revoked_at is None


def test_a_chunk_cannot_get_into_a_blob_after_its_digest_was_checked(tmp_path: Path) -> None:
    """Two requests for one upload: what is stored under a digest always has it, and nothing breaks."""
    blobs = Blobs(tmp_path, max_bytes=1 << 24)
    data = b"good" * 100_000
    sha256 = digest_of(data).removeprefix("sha256:")
    unforeseen: list[OSError] = []

    def attempt(work: Any, *arguments: Any, **named: Any) -> None:
        try:
            work(*arguments, **named)
        except LimosaError:
            return  # one of the two was second
        except OSError as error:  # a file that somebody else has moved
            unforeseen.append(error)

    for _ in range(60):
        upload = blobs.begin().id
        blobs.append(upload, data)
        threads = [
            threading.Thread(target=attempt, args=(blobs.append, upload, b"evil")),
            threading.Thread(target=attempt, args=(blobs.finish, upload), kwargs={"sha256": sha256}),
            threading.Thread(target=attempt, args=(blobs.finish, upload), kwargs={"sha256": sha256}),
            threading.Thread(target=attempt, args=(blobs.append, upload, b"evil")),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if blobs.size(sha256) is not None:
            assert digest_of(blobs.read(sha256)) == f"sha256:{sha256}"
    assert unforeseen == []


@pytest.mark.parametrize("upload", ["a" * 300, "²", "A" * 32, "0" * 31])
def test_an_upload_that_no_server_named_is_not_there(fleet: Fleet, upload: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        path = f"/v2/demo/motion/blobs/uploads/{upload}"
        answer = fleet.http.request(method, path, headers=fleet.headers(Role.PUBLISHER))
        assert (answer.status_code, answer.json()["code"]) == (404, "LM-603"), method
