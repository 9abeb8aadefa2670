"""`/api/v1/releases/…/evidence`: what a team published about how a release was built (compiler 2.9)."""

from __future__ import annotations

from limosa_contracts.json_value import JsonValue
from limosa_server.access.scope import GROUP
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Viewer
from limosa_server.api.release_stages import release_name
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.registry import evidence, release_rows

router = Router(route_class=AnswerRoute, prefix="/api/v1/releases", tags=["releases"])


@router.get("/{team}/{model}/{version}/evidence")
@scoped(GROUP)
def list_evidence(team: str, model: str, version: str, state: State, caller: Viewer) -> dict[str, JsonValue]:
    """Files of evidence with their digests, and whether the team's signature over them holds; each is
    fetched as a blob of the registry."""
    name = release_name(team, model, version)
    with state.store.read() as tx:
        row = release_rows.find(tx, name)
        found = evidence.of_release(tx, state.blobs, row)
    return {"subject": f"sha256:{row.index_sha256}", "items": [_item(one) for one in found]}


def _item(one: evidence.Evidence) -> dict[str, JsonValue]:
    return {
        "manifest": one.digest,
        "signed": not one.refused,
        "key": one.keyid,
        "refused": one.refused,
        "files": [
            {"name": layer.filename, "digest": layer.digest, "size_bytes": layer.size} for layer in one.files
        ],
    }
