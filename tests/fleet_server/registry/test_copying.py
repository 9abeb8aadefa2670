"""From staging to production on another server: the same bytes, the team's signatures, nothing of ours."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from limosa_compiler.trust import roles
from limosa_compiler.trust.ceremony import init_keys
from limosa_compiler.trust.evidence_referrer import make_referrer
from limosa_compiler.trust.key_sources import HeldKey
from limosa_contracts.errors import LimosaError
from limosa_contracts.evidence_statement import referrers_tag
from limosa_contracts.names import ReleaseName
from limosa_contracts.oci import INDEX, MANIFEST, Descriptor
from limosa_contracts.signing_keys import SigningKey
from limosa_server.access.roles import Role
from limosa_server.cli.release_copy import copy_release
from limosa_server.tables.releases import TufRole
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
from tests.fleet_server.world import MODEL, TEAM, Fleet, running_fleet


@dataclass(slots=True)
class TwoServers:
    staging: Fleet
    prod: Fleet

    def copy(self, release: str) -> dict[str, Any]:
        return dict(
            copy_release(
                release,
                (str(self.staging.http.base_url), self.staging.token(Role.PUBLISHER), None),
                (str(self.prod.http.base_url), self.prod.token(Role.PUBLISHER), None),
                say=lambda _: None,
            )
        )


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[TwoServers]:
    """Two servers with roots of their own; both lend the team its paths, with the team's one key."""
    with ExitStack() as stack:
        staging = stack.enter_context(running_fleet(tmp_path / "staging"))
        key = SigningKey.parse((staging.offline / "teams" / TEAM / "team.pem").read_bytes())
        public = roles.tuf_key(key.public)
        held = HeldKey("file:team.pem", key.public, CryptoSigner(key.raw, public))
        prod_folder = tmp_path / "prod"
        init_keys(
            offline=prod_folder / "offline", server=prod_folder / "data" / "trust", team=TEAM,
            now=datetime.now(UTC), dev=True, held=held,
        )  # fmt: skip
        prod = stack.enter_context(running_fleet(prod_folder))
        yield TwoServers(staging, prod)


def published(fleet: Fleet, version: str, content: bytes, *, minutes: int) -> Blobs:
    headers, team = fleet.headers(Role.PUBLISHER), Team(fleet.offline)
    release, blobs = f"{MODEL}@{version}", make_blobs(content)
    push(fleet.http, headers, blobs)
    role = team.bin_of(release)
    seen = current_bin(fleet.http, headers, role)
    moment = datetime.now(UTC) + timedelta(minutes=minutes)
    signed = team.sign(seen.content, release, blobs.index, now=moment)
    answer = put_metadata(fleet.http, headers, {role: signed}, if_match=seen.headers["etag"])
    assert answer.status_code == 200, answer.text
    return blobs


def test_a_release_arrives_byte_for_byte_with_its_evidence_and_stays_in_staging_there(
    servers: TwoServers,
) -> None:
    staging, prod = servers.staging, servers.prod
    blobs = published(staging, "1.0.0", b"one", minutes=1)
    published(staging, "1.1.0", b"not for production", minutes=2)
    evidence_for(staging, "1.0.0", blobs)
    copied = servers.copy(f"{MODEL}@1.0.0")
    assert copied["stage"] == "staging"
    there = prod.http.get("/api/v1/releases", headers=prod.headers()).json()["items"]
    assert [one["version"] for one in there] == ["1.0.0"]
    for data in (blobs.weight, blobs.manifest, blobs.index, blobs.config):
        assert prod.state.blobs.read(hashlib.sha256(data).hexdigest()) == data
    found = prod.http.get(f"/api/v1/releases/{MODEL}/1.0.0/evidence", headers=prod.headers()).json()
    assert [one["signed"] for one in found["items"]] == [True]
    assert role_body(staging, "1.0.0") == role_body(prod, "1.0.0")  # the team's signature, byte for byte
    steps = prod.http.get(f"/api/v1/releases/{MODEL}/1.0.0/lineage", headers=prod.headers()).json()["steps"]
    assert steps[-1]["what"] == "imported"
    assert servers.copy(f"{MODEL}@1.0.0")["index_sha256"] == copied["index_sha256"]  # again: nothing changes


def test_a_second_release_of_the_same_bin_follows_and_its_team_can_still_publish_there(
    servers: TwoServers,
) -> None:
    for place in range(1, 9):  # some of them share a bin
        published(servers.staging, f"1.{place}.0", b"%d" % place, minutes=place)
    for place in (2, 5, 1):
        servers.copy(f"{MODEL}@1.{place}.0")
    prod = servers.prod
    team = Team(servers.staging.offline)
    headers = prod.headers(Role.PUBLISHER)
    blobs = make_blobs(b"hot fix")
    push(prod.http, headers, blobs)
    role = team.bin_of(f"{MODEL}@1.2.0")
    seen = current_bin(prod.http, headers, role)
    version = next(f"2.{n}.0" for n in range(400) if team.bin_of(f"{MODEL}@2.{n}.0") == role)
    signed = team.sign(
        seen.content, f"{MODEL}@{version}", blobs.index, now=datetime.now(UTC) + timedelta(minutes=30)
    )
    answer = put_metadata(prod.http, headers, {role: signed}, if_match=seen.headers["etag"])
    assert answer.status_code == 200, answer.text
    items = prod.http.get("/api/v1/releases", headers=prod.headers()).json()["items"]
    assert {one["version"] for one in items} == {"1.1.0", "1.2.0", "1.5.0", version}


def test_other_bytes_under_the_same_name_are_refused(servers: TwoServers) -> None:
    published(servers.staging, "1.0.0", b"one", minutes=1)
    there = Team(servers.staging.offline)
    prod, blobs = servers.prod, make_blobs(b"another one")
    headers = prod.headers(Role.PUBLISHER)
    push(prod.http, headers, blobs)
    role = there.bin_of(f"{MODEL}@1.0.0")
    seen = current_bin(prod.http, headers, role)
    signed = there.sign(
        seen.content, f"{MODEL}@1.0.0", blobs.index, now=datetime.now(UTC) + timedelta(minutes=1)
    )
    assert put_metadata(prod.http, headers, {role: signed}, if_match=seen.headers["etag"]).status_code == 200
    with pytest.raises(LimosaError) as refused:
        servers.copy(f"{MODEL}@1.0.0")
    assert refused.value.code == "LM-645"


def test_a_server_in_between_that_sends_other_bytes_is_found_out(servers: TwoServers) -> None:
    blobs = published(servers.staging, "1.0.0", b"one", minutes=1)
    path = servers.staging.state.blobs.path(hashlib.sha256(blobs.weight).hexdigest())
    path.write_bytes(b"X" * len(blobs.weight))
    with pytest.raises(LimosaError) as refused:
        servers.copy(f"{MODEL}@1.0.0")
    assert refused.value.code == "LM-202"
    assert servers.prod.http.get("/api/v1/releases", headers=servers.prod.headers()).json()["items"] == []


def test_a_server_that_does_not_know_the_team_s_key_takes_nothing(
    servers: TwoServers, tmp_path: Path
) -> None:
    published(servers.staging, "1.0.0", b"one", minutes=1)
    with running_fleet(tmp_path / "stranger") as stranger:
        elsewhere = TwoServers(servers.staging, stranger)
        with pytest.raises(LimosaError) as refused:
            elsewhere.copy(f"{MODEL}@1.0.0")
    assert refused.value.code == "LM-607"


def test_a_retracted_release_goes_nowhere(servers: TwoServers) -> None:
    published(servers.staging, "1.0.0", b"one", minutes=1)
    gone = servers.staging.http.post(
        f"/api/v1/releases/{MODEL}/1.0.0/retract", json={"reason": "bad"}, headers=servers.staging.headers()
    )
    assert gone.status_code == 200
    with pytest.raises(LimosaError) as refused:
        servers.copy(f"{MODEL}@1.0.0")
    assert refused.value.code == "LM-643"


def role_body(fleet: Fleet, version: str) -> str:
    team = Team(fleet.offline)
    with fleet.state.store.read() as tx:
        return tx.get_one(TufRole, team.bin_of(f"{MODEL}@{version}")).body


def evidence_for(fleet: Fleet, version: str, blobs: Blobs) -> None:
    headers, key = fleet.headers(Role.PUBLISHER), Team(fleet.offline).key
    subject = Descriptor.of(blobs.index, media_type=INDEX)
    made = make_referrer(
        ReleaseName.parse(f"{MODEL}@{version}"),
        subject,
        {"evidence.json": b'{"lineage":{"commit":"abc"}}'},
        key,
    )
    for data in made.blobs.values():
        push_blob(fleet.http, headers, data)
    assert push_manifest(fleet.http, headers, made.manifest, MANIFEST).status_code == 201
    tag = referrers_tag(subject.digest)
    assert push_manifest(fleet.http, headers, made.index, INDEX, tag).status_code == 201
