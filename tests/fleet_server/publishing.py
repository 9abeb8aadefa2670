"""A small release, pushed and signed as a team does it, with the compiler's own trust code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from limosa_compiler.trust import releases, roles
from limosa_contracts.names import ReleaseName
from limosa_contracts.oci import (
    CONFIG,
    FILEPATH,
    INDEX,
    MANIFEST,
    REQUIRES_ANNOTATION,
    VARIANT_ANNOTATION,
    WEIGHT,
    Descriptor,
    ImageIndex,
    Manifest,
    Requirements,
    digest_of,
)
from limosa_contracts.signing_keys import SigningKey
from tests.fleet_server.world import MODEL, TEAM


@dataclass(frozen=True, slots=True)
class Blobs:
    config: bytes
    weight: bytes
    manifest: bytes
    index: bytes


def make_blobs(content: bytes) -> Blobs:
    config = json.dumps({"config": {"format": "onnx", "precision": "int8"}}).encode()
    weight = b"weights of " + content
    manifest = Manifest(
        config=Descriptor.of(config, media_type=CONFIG),
        layers=(Descriptor.of(weight, media_type=WEIGHT, annotations={FILEPATH: "model.onnx"}),),
    ).encode()
    described = Descriptor.of(
        manifest,
        media_type=MANIFEST,
        annotations={VARIANT_ANNOTATION: "cpu-int8", REQUIRES_ANNOTATION: Requirements().encode()},
    )
    return Blobs(config, weight, manifest, ImageIndex(manifests=(described,)).encode())


def push_blob(http: httpx.Client, headers: dict[str, str], data: bytes, *, model: str = MODEL) -> None:
    answer = http.post(f"/v2/{model}/blobs/uploads/", headers=headers)
    assert answer.status_code == 202, answer.text
    done = http.put(
        answer.headers["location"], params={"digest": digest_of(data)}, content=data, headers=headers
    )
    assert done.status_code == 201, done.text


def push_manifest(
    http: httpx.Client, headers: dict[str, str], data: bytes, media_type: str, reference: str = ""
) -> httpx.Response:
    return http.put(
        f"/v2/{MODEL}/manifests/{reference or digest_of(data)}",
        content=data,
        headers={**headers, "Content-Type": media_type},
    )


def push(http: httpx.Client, headers: dict[str, str], blobs: Blobs) -> None:
    push_blob(http, headers, blobs.config)
    push_blob(http, headers, blobs.weight)
    assert push_manifest(http, headers, blobs.manifest, MANIFEST).status_code == 201
    assert push_manifest(http, headers, blobs.index, INDEX).status_code == 201


@dataclass(slots=True)
class Team:
    """The offline side: its key, and its metadata as files."""

    offline: Path

    @property
    def key(self) -> SigningKey:
        return SigningKey.parse((self.offline / "teams" / TEAM / "team.pem").read_bytes())

    def bin_of(self, release: str) -> str:
        folder = self.offline / "teams" / TEAM / "metadata"
        team_role = roles.parse_role((folder / f"{TEAM}.json").read_bytes(), where=TEAM).signed
        return roles.bins_of(team_role, where=TEAM).get_role_for_target(
            ReleaseName.parse(release).target_path
        )

    def sign(
        self,
        current: bytes,
        release: str,
        index: bytes,
        *,
        may_return_to: tuple[str, ...] = (),
        key: SigningKey | None = None,
        now: datetime | None = None,
    ) -> bytes:
        """The bin with the release in it, its next version."""
        moment = now or datetime.now(UTC)
        metadata = roles.parse_role(current, where="bin")
        target = releases.next_release(
            [metadata.signed], ReleaseName.parse(release), index, may_return_to=may_return_to, now=moment
        )
        return releases.with_target(metadata, target, key or self.key, moment)


def current_bin(http: httpx.Client, headers: dict[str, str], role: str) -> httpx.Response:
    answer = http.get(f"/api/v1/teams/{TEAM}/metadata/{role}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def put_metadata(
    http: httpx.Client,
    headers: dict[str, str],
    files: dict[str, bytes],
    *,
    if_match: str = "",
    team: str = TEAM,
) -> httpx.Response:
    body: dict[str, Any] = {"metadata": {f"{role}.json": json.loads(data) for role, data in files.items()}}
    extra = {"If-Match": if_match} if if_match else {}
    return http.put(f"/api/v1/teams/{team}/metadata", json=body, headers={**headers, **extra})


def publish(
    http: httpx.Client, headers: dict[str, str], team: Team, release: str, content: bytes
) -> httpx.Response:
    """The whole way: blobs, signature, metadata."""
    blobs = make_blobs(content)
    push(http, headers, blobs)
    role = team.bin_of(release)
    seen = current_bin(http, headers, role)
    signed = team.sign(seen.content, release, blobs.index)
    return put_metadata(http, headers, {role: signed}, if_match=seen.headers["etag"])
