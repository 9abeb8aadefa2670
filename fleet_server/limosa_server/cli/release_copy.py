"""`limosa release promote --to`: copies a release from one server to another, byte for byte.

Everything is checked on the way: each blob against the digest that leads to it, the image index against
what the team signed. The other server checks the signatures; it believes neither this command nor the
server that the release comes from.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from tuf.api.metadata import Targets

from limosa_contracts.canonical import parse_object
from limosa_contracts.errors import DigestMismatch, NotAuthenticated, NotFound
from limosa_contracts.evidence_statement import referrers_tag
from limosa_contracts.json_value import JsonObject
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import ReleaseName
from limosa_contracts.oci import INDEX, MANIFEST, Descriptor, ImageIndex, Manifest
from limosa_server.cli.release_paths import path_of
from limosa_server.client import CA, Client
from limosa_server.core.errors import ReleaseRetracted
from limosa_server.errors import BlobUnknown, CopyDiffers
from limosa_server.trust.team_metadata import parse_targets

TO_TOKEN: Final = "LIMOSA_TO_TOKEN"  # noqa: S105  # the name of a variable
TO_CA: Final = "LIMOSA_TO_CA"
CHUNK_BYTES: Final = 4 * 1024 * 1024
OCTETS: Final = "application/octet-stream"
Place: TypeAlias = tuple[str | None, str | None, str | None]
"""(server, token, CA file), as the options give them."""
Say: TypeAlias = Callable[[str], None]


def copy_release(release: str, source: Place, target: Place, *, say: Say) -> JsonObject:
    """The release as the other server has it then. A second time changes nothing.

    Raises DigestMismatch, CopyDiffers, ReleaseRetracted, and what either server refuses.
    """
    name = ReleaseName.parse(release)
    token = target[1] or os.environ.get(TO_TOKEN, "")
    if not token:
        raise NotAuthenticated(
            "no token for the other server", where="--to-token", hint=f"export {TO_TOKEN}=…"
        )
    ca = target[2] or os.environ.get(TO_CA) or os.environ.get(CA)
    with Client.of(*source) as here, Client.of(target[0], token, ca) as there:
        return _Copy(here, there, name, say).run()


@dataclass(frozen=True, slots=True)
class _Copy:
    here: Client
    there: Client
    name: ReleaseName
    say: Say

    def run(self) -> JsonObject:
        found = self.here.get(path_of(str(self.name)))
        if found.get("retracted") is not None:
            raise ReleaseRetracted(f"{self.name} was retracted", where=str(self.here.http.base_url))
        index_sha256 = str(found["index_sha256"])
        self._check_there(index_sha256)
        roles = self._roles(index_sha256)
        index = self._document(f"sha256:{index_sha256}", INDEX)
        self._copy_manifests(ImageIndex.parse(index).manifests)
        self._put_manifest(f"sha256:{index_sha256}", index, INDEX)
        self._copy_evidence(f"sha256:{index_sha256}")
        copied = self.there.post(
            f"/api/v1/teams/{self.name.name.team}/import",
            {
                "release": str(self.name),
                "index_sha256": index_sha256,
                "from": str(self.here.http.base_url).rstrip("/")[:200],
                "metadata": roles,
            },
        )
        if copied["index_sha256"] != index_sha256:
            raise CopyDiffers("the other server has other bytes", where=str(self.name))
        return copied

    def _check_there(self, index_sha256: str) -> None:
        try:
            known = self.there.get(path_of(str(self.name)))
        except NotFound:
            return
        if known["index_sha256"] != index_sha256:
            raise CopyDiffers(
                f"{self.name} has other bytes there",
                where=str(self.there.http.base_url),
                why=f"sha256:{known['index_sha256']}, here sha256:{index_sha256}",
            )

    def _roles(self, index_sha256: str) -> JsonObject:
        """The team's role and the bin that lists the release, as they were signed."""
        team = self.name.name.team
        own = self._role(team)
        delegations = parse_targets(own, role=team).signed.delegations
        bins = delegations.succinct_roles if delegations is not None else None
        role = bins.get_role_for_target(self.name.target_path) if bins is not None else ""
        listed = self._role(role)
        targets: Targets = parse_targets(listed, role=role).signed
        target = targets.targets.get(self.name.target_path)
        if target is None or target.hashes.get("sha256") != index_sha256:
            raise CopyDiffers(
                "the server lists other bytes than the team signed", where=str(self.name), why=role
            )
        return {
            f"{one}.json": parse_object(body, what="role", max_bytes=LIMITS.tuf_metadata_max_bytes)
            for one, body in ((team, own), (role, listed))
        }

    def _role(self, role: str) -> bytes:
        path = f"/api/v1/teams/{self.name.name.team}/metadata/{role}"
        return b"".join(self.here.pieces(path, max_bytes=LIMITS.tuf_metadata_max_bytes))

    def _copy_manifests(self, manifests: Iterable[Descriptor]) -> None:
        for one in manifests:
            data = self._document(one.digest, MANIFEST)
            manifest = Manifest.parse(data)
            for layer in (manifest.config, *manifest.layers):
                self._copy_blob(layer)
            self._put_manifest(one.digest, data, MANIFEST)

    def _copy_evidence(self, subject: str) -> None:
        """It stands beside the release: signed by the team, outside of its digest."""
        tag = referrers_tag(subject)
        try:
            listed = b"".join(
                self.here.pieces(f"/v2/{self.name.name}/manifests/{tag}", max_bytes=LIMITS.manifest_max_bytes)
            )
        except BlobUnknown:
            return
        self._copy_manifests(ImageIndex.parse(listed).manifests)
        self._put_manifest(tag, listed, INDEX)

    def _document(self, digest: str, media_type: str) -> bytes:
        path = f"/v2/{self.name.name}/manifests/{digest}"
        data = b"".join(self.here.pieces(path, max_bytes=LIMITS.manifest_max_bytes))
        _check(hashlib.sha256(data).hexdigest(), digest)
        return data

    def _put_manifest(self, reference: str, data: bytes, media_type: str) -> None:
        path = f"/v2/{self.name.name}/manifests/{reference}"
        self.there.raw("PUT", path, content=data, headers={"Content-Type": media_type})

    def _copy_blob(self, layer: Descriptor) -> None:
        base = f"/v2/{self.name.name}/blobs"
        if self.there.raw("HEAD", f"{base}/{layer.digest}", absent_is_fine=True).status_code == 200:
            return
        self.say(f"copying {layer.digest[:19]}… ({layer.size} bytes)")
        place = self._place(self.there.raw("POST", f"{base}/uploads/").headers.get("location", ""))
        digest = hashlib.sha256()
        for piece in _chunks(self.here.pieces(f"{base}/{layer.digest}", max_bytes=layer.size)):
            digest.update(piece)
            sent = self.there.raw("PATCH", place, content=piece, headers={"Content-Type": OCTETS})
            place = self._place(sent.headers.get("location", place))
        _check(digest.hexdigest(), layer.digest)
        self.there.raw("PUT", f"{place}?digest={layer.digest}")

    def _place(self, location: str) -> str:
        """Where the upload goes on: on that server, whatever it says. Raises CopyDiffers."""
        if not location.startswith(f"/v2/{self.name.name}/blobs/uploads/"):
            raise CopyDiffers("the other server sends uploads elsewhere", why=location[:200])
        return location


def _check(sha256: str, digest: str) -> None:
    if f"sha256:{sha256}" != digest:
        raise DigestMismatch("the server sent other bytes", where=digest, why=f"sha256:{sha256}")


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        while len(gathered) >= CHUNK_BYTES:
            yield bytes(gathered[:CHUNK_BYTES])
            del gathered[:CHUNK_BYTES]
    if gathered:
        yield bytes(gathered)
