"""Files that nginx sends in our place, after we have said who may have them (server 5)."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from limosa_server.deploy.nginx_config import BLOBS_LOCATION, DELTAS_LOCATION
from limosa_server.settings import ServerSettings
from limosa_server.state import ServerState

GROUP_READS: Final = stat.S_IRGRP
GROUP_PASSES: Final = stat.S_IRGRP | stat.S_IXGRP


def blob_location(state: ServerState, sha256: str) -> str | None:
    """Where nginx finds the blob; None if it does not send files here."""
    if state.settings.behind_proxy != "nginx":
        return None
    path = state.blobs.path(sha256)
    _readable(state.settings, path)
    return f"{BLOBS_LOCATION}{path.parent.name}/{path.name}"


def delta_location(state: ServerState, path: Path) -> str | None:
    if state.settings.behind_proxy != "nginx":
        return None
    _readable(state.settings, path)
    return f"{DELTAS_LOCATION}{path.name}"


def _readable(settings: ServerSettings, path: Path) -> None:
    """For the server's group, of which nginx is a member; the data folder itself only lets it through."""
    _allow(path, GROUP_READS)
    folder = path.parent
    while folder != settings.data:
        _allow(folder, GROUP_PASSES)
        folder = folder.parent
    _allow(settings.data, stat.S_IXGRP)


def _allow(path: Path, bits: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & bits != bits:
        path.chmod(mode | bits)
