"""`/api/v1/releases/…/evidence`: what a team published about how a release was built (compiler 2.9).

The server keeps it and checks no signature of it: whoever reads it has the team's key, or trusts nobody.
"""

from __future__ import annotations

from sqlmodel import select

from limosa_contracts.errors import LimosaError, NotFound
from limosa_contracts.evidence_statement import EVIDENCE_TYPE, referrers_tag
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import ModelName, check_version
from limosa_contracts.oci import ImageIndex, Manifest
from limosa_server.access.scope import GROUP
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Viewer
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.errors import BlobUnknown
from limosa_server.registry import registry_rows
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.releases import Release

router = Router(route_class=AnswerRoute, prefix="/api/v1/releases", tags=["releases"])


@router.get("/{team}/{model}/{version}/evidence")
@scoped(GROUP)
def list_evidence(team: str, model: str, version: str, state: State, caller: Viewer) -> dict[str, JsonValue]:
    """Files of evidence with their digests; each is fetched as a blob of the registry."""
    name = ModelName.parse(f"{team}/{model}")
    check_version(version)
    with state.store.read() as tx:
        row = tx.exec(select(Release).where(Release.model == str(name), Release.version == version)).first()
        if row is None:
            raise NotFound(f"the server has no release {name}@{version}", hint="limosa release list")
        subject = f"sha256:{row.index_sha256}"
        return {"subject": subject, "items": _items(tx, state, str(name), subject)}


def _items(tx: Transaction, state: ServerState, repository: str, subject: str) -> list[JsonValue]:
    """Nothing where none was published; what does not parse is left out, for anybody of the team may push."""
    try:
        row = registry_rows.by_reference(tx, repository, referrers_tag(subject))
        listed = ImageIndex.parse(state.blobs.read(row.sha256)).manifests
    except (BlobUnknown, LimosaError):
        return []
    items: list[JsonValue] = []
    for entry in listed:
        try:
            registry_rows.find(tx, repository, entry.sha256)
            manifest = Manifest.parse(state.blobs.read(entry.sha256))
        except LimosaError:
            continue
        if (
            manifest.artifact_type == EVIDENCE_TYPE
            and manifest.subject
            and manifest.subject.digest == subject
        ):
            items.append(_item(entry.digest, manifest))
    return items


def _item(digest: str, manifest: Manifest) -> dict[str, JsonValue]:
    return {
        "manifest": digest,
        "files": [
            {"name": layer.filename, "digest": layer.digest, "size_bytes": layer.size}
            for layer in manifest.layers
        ],
    }
