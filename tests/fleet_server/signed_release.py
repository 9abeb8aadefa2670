"""A release with a model signature, as devices demand it, on the server; and who shall run it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from limosa_contracts.oci import (
    CONFIG,
    DOC,
    FILEPATH,
    INDEX,
    MANIFEST,
    REQUIRES_ANNOTATION,
    SIGNATURE_FILE,
    VARIANT_ANNOTATION,
    WEIGHT,
    Descriptor,
    ImageIndex,
    Manifest,
    Requirements,
)
from limosa_contracts.oms import make_bundle
from limosa_server.access.roles import Role
from limosa_server.tables.rollouts import AssignmentRow
from tests.fleet_server.publishing import Team, current_bin, push_blob, push_manifest, put_metadata
from tests.fleet_server.world import MODEL, Device, Fleet


def publish(fleet: Fleet, version: str) -> str:
    """A release with a model signature, as devices demand it; the sha256 of its index."""
    team, headers = Team(fleet.offline), fleet.headers(Role.PUBLISHER)
    weight = f"weights of {version}".encode()
    config = b"{}"
    layers = [Descriptor.of(weight, media_type=WEIGHT, annotations={FILEPATH: "model.onnx"})]
    bundle = make_bundle({layer.filename: layer.sha256 for layer in layers}, team.key)
    layers.append(Descriptor.of(bundle, media_type=DOC, annotations={FILEPATH: SIGNATURE_FILE}))
    manifest = Manifest(config=Descriptor.of(config, media_type=CONFIG), layers=tuple(layers)).encode()
    described = Descriptor.of(
        manifest,
        media_type=MANIFEST,
        annotations={VARIANT_ANNOTATION: "v", REQUIRES_ANNOTATION: Requirements().encode()},
    )
    index = ImageIndex(manifests=(described,)).encode()
    for blob in (config, weight, bundle):
        push_blob(fleet.http, headers, blob)
    for data, kind in ((manifest, MANIFEST), (index, INDEX)):
        assert push_manifest(fleet.http, headers, data, kind).status_code == 201
    release = f"{MODEL}@{version}"
    role = team.bin_of(release)
    seen = current_bin(fleet.http, headers, role)
    # Counters are seconds, and unique per model: two releases of one second are not published.
    now = datetime.now(UTC) + timedelta(seconds=int(version[0]))
    signed = team.sign(seen.content, release, index, now=now)
    done = put_metadata(fleet.http, headers, {role: signed}, if_match=seen.headers["etag"])
    assert done.status_code == 200, done.text
    return Descriptor.of(index, media_type=INDEX).sha256


def assign(fleet: Fleet, device: Device, version: str, index_sha256: str) -> None:
    with fleet.state.store.transaction() as tx:
        tx.merge(
            AssignmentRow(
                device=device.id,
                model=MODEL,
                version=version,
                index_sha256=index_sha256,
                updated_at=fleet.clock.now,
            )
        )
