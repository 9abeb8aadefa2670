"""The five peers, in pinned versions, each in an environment of its own under the user's cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

INSTALL_MAX_S: Final = 1800.0
COMMON: Final = (
    "onnxruntime==1.31.1",
    "numpy==2.4.6",
    "uvicorn==0.54.0",
    "httptools==0.9.0",
    "uvloop==0.23.0",
)
"""All get the same runtime, and the fast parts of uvicorn, which MLServer and BentoML do not ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """`app`: a file of `apps/`. `path`: what is asked. `oip`: "" speaks no Open Inference Protocol,
    "json" without binary tensors, "binary" with them."""

    name: str
    packages: tuple[str, ...]
    app: str
    path: str
    oip: str


PEERS: Final = (
    Peer(
        name="MLServer",
        packages=("mlserver==1.7.1",),
        app="mlserver_app",
        path="/v2/models/peer/infer",
        oip="json",
    ),
    Peer(
        name="KServe",
        packages=("kserve==0.21.0",),
        app="kserve_app",
        path="/v2/models/peer/infer",
        oip="binary",
    ),
    Peer(name="LitServe", packages=("litserve==0.2.19",), app="litserve_app", path="/predict", oip=""),
    Peer(name="BentoML", packages=("bentoml==1.4.39",), app="bentoml_app", path="/predict", oip=""),
    Peer(
        name="FastAPI",
        packages=("fastapi==0.165.0", "pydantic==2.14.3"),
        app="fastapi_app",
        path="/predict",
        oip="",
    ),
)


class PeersMissing(Exception):
    def __init__(self, names: list[str]) -> None:
        super().__init__(f"not installed: {', '.join(names)}; --yes installs them (2 GB of disk)")


def folder_of(peer: Peer) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "limosa" / "peers" / peer.name.lower()


def python_of(peer: Peer) -> Path:
    return folder_of(peer) / "bin" / "python"


def is_installed(peer: Peer) -> bool:
    """Whether its environment was made to the end, from the same pins."""
    try:
        made = json.loads((folder_of(peer) / "made.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(made == _pins(peer)) and python_of(peer).exists()


def prepare(peers: tuple[Peer, ...], *, may_install: bool) -> None:
    """Raises PeersMissing, CalledProcessError."""
    missing = [peer for peer in peers if not is_installed(peer)]
    if missing and not may_install:
        raise PeersMissing([peer.name for peer in missing])
    for peer in missing:
        sys.stderr.write(f"installing {peer.name}: {', '.join(peer.packages)}\n")
        _install(peer)


def _install(peer: Peer) -> None:
    folder = folder_of(peer)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(python_of(peer)), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    subprocess.run([*pip, *_pins(peer)], check=True, timeout=INSTALL_MAX_S)
    (folder / "made.json").write_text(json.dumps(_pins(peer)), encoding="utf-8")


def _pins(peer: Peer) -> list[str]:
    return [*peer.packages, *COMMON]
