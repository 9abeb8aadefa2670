"""Pushes a signed artifact by the OCI distribution API: blobs first, then manifests, then the index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from limosa_compiler.trust.server_client import FleetServer
from limosa_compiler.trust.signatures import SignedBlobs
from limosa_contracts.names import ModelName
from limosa_contracts.oci import INDEX, MANIFEST

OCTETS: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    blobs: int  # that the server did not have
    bytes: int


def push_artifact(
    server: FleetServer, model: ModelName, signed: SignedBlobs, *, say: Callable[[str], None]
) -> Pushed:
    """After it the server has every blob, manifest and the index. Raises TransferError, ServerRefused."""
    documents = {descriptor.digest for descriptor in (*signed.manifests, signed.index)}
    sent = [
        len(data)
        for digest, data in sorted(signed.blobs.items())
        if digest not in documents and push_blob(server, model, digest, data, say=say)
    ]
    for descriptor in signed.manifests:
        put_manifest(server, model, descriptor.digest, signed.blobs[descriptor.digest], MANIFEST)
    put_manifest(server, model, signed.index.digest, signed.blobs[signed.index.digest], INDEX)
    return Pushed(blobs=len(sent), bytes=sum(sent))


def put_manifest(server: FleetServer, model: ModelName, reference: str, data: bytes, media_type: str) -> None:
    """Under a digest or a tag; a second time changes nothing."""
    server.request(
        "PUT",
        f"/v2/{model}/manifests/{reference}",
        content=data,
        headers={"Content-Type": media_type},
        expected=(201,),
    )


def push_blob(
    server: FleetServer, model: ModelName, digest: str, data: bytes, *, say: Callable[[str], None]
) -> bool:
    """Whether it had to be sent. A broken upload begins anew, unless the server turns out to have it."""

    def attempt() -> bool:
        there = server.once("HEAD", f"/v2/{model}/blobs/{digest}", expected=(200, 404))
        if there.status_code == 200:
            return False
        say(f"sending {digest[:19]}… ({len(data)} bytes)")
        _upload(server, model, digest, data)
        return True

    return server.retrying(attempt)


def _upload(server: FleetServer, model: ModelName, digest: str, data: bytes) -> None:
    """In one request where it is small, else in pieces: no limit on bodies on the way stops it."""
    started = server.once("POST", f"/v2/{model}/blobs/uploads/", expected=(202,))
    location = server.own_url(started.headers.get("Location", ""))
    size = server.limits.chunk_bytes
    last = data
    if len(data) > size:
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            answer = server.once(
                "PATCH",
                location,
                content=piece,
                headers={"Content-Type": OCTETS, "Content-Range": f"{start}-{start + len(piece) - 1}"},
                expected=(202,),
            )
            location = server.own_url(answer.headers.get("Location", location))
        last = b""
    mark = "&" if "?" in location else "?"
    final = f"{location}{mark}digest={digest}"
    server.once("PUT", final, content=last, headers={"Content-Type": OCTETS}, expected=(201,))
