"""Starting and ending one server, ours or a peer's, with one model and a number of model threads."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

from benchmarks.serving_peers.environments import PEERS, Peer, folder_of, python_of
from benchmarks.serving_peers.models import DIGITS, BenchModel

APPS: Final = Path(__file__).parent / "apps"
ROOT: Final = Path(__file__).parents[2]
READY_MAX_S: Final = 90.0
END_MAX_S: Final = 10.0
OURS: Final = "limosa"
LISTENS: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to ask, where, and what."""

    name: str
    port: int
    path: str
    body: bytes  # of a JSON request
    oip: str  # as Peer.oip
    model: str  # its name in the protocol


class Server:
    """One process group of its own; `with` ends it."""

    def __init__(
        self, target: Target, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.target: Final = target
        self._log: Final = folder / "log"
        with self._log.open("wb") as log:
            self._process: Final = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Its workers too: they are in its process group."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_MAX_S)

    def wait_until_right(self, expected: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
        """Until it gives the model's own answer. Raises RuntimeError with its log."""
        until = time.monotonic() + READY_MAX_S
        said: object = "nothing"
        while time.monotonic() < until and self._process.poll() is None:
            try:
                said = _ask(self.target)
            except (OSError, urllib.error.URLError) as error:
                said = error
                time.sleep(0.2)
                continue
            if np.allclose(_outputs(said), expected.ravel(), atol=1e-4):
                return
            break
        raise RuntimeError(
            f"{self.target.name} does not answer rightly: {str(said)[:300]}\n{self._log.read_text()[-3000:]}"
        )


def start_ours(model: BenchModel, threads: int, folder: Path) -> Server:
    name, port = f"bench/{model.name}", free_port()
    path = f"/v2/models/{name}/infer"
    body = oip_body(model)
    target = Target(name=OURS, port=port, path=path, body=body, oip="binary", model=name)
    script = str(Path(__file__).parent / "ours.py")
    command = [sys.executable, script, model.name, str(port), str(threads), str(folder / "state")]
    return Server(target, command, {}, folder)


def start_peer(peer: Peer, model: BenchModel, threads: int, folder: Path) -> Server:
    port = free_port()
    body = oip_body(model) if peer.oip else _json({"x": _flat(model)})
    target = Target(name=peer.name, port=port, path=peer.path, body=body, oip=peer.oip, model="peer")
    path = folder / "model.onnx"
    path.write_bytes(model.onnx_bytes)
    environment = {
        "PEER_PORT": str(port),
        "PEER_THREADS": str(threads),
        "PEER_SHAPE": ",".join(map(str, model.shape)),
        "PEER_INLINE": "1" if model.inline or threads == 1 else "0",
        "PEER_MODEL": str(path),
        "PYTHONPATH": str(APPS),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": f"{python_of(peer).parent}:{os.environ.get('PATH', '')}",
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(folder / "bentoml"),
    }
    return Server(target, _command(peer, port, folder), environment, folder)


def peer_named(name: str) -> Peer:
    return next(peer for peer in PEERS if peer.name == name)


def free_port() -> int:
    with socket.create_server((LISTENS, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def oip_body(model: BenchModel) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": list(model.shape), "data": _flat(model)}
    return _json({"inputs": [tensor]})


def _command(peer: Peer, port: int, folder: Path) -> list[str]:
    programs = folder_of(peer) / "bin"
    if peer.app == "bentoml_app":
        words = ["serve", "bentoml_app:Peer", "--host", LISTENS, "--port", str(port), "--api-workers", "1"]
        return [str(programs / "bentoml"), *words, "--working-dir", str(APPS)]
    if peer.app == "mlserver_app":
        settings = {
            "debug": False,
            "host": LISTENS,
            "http_port": port,
            "grpc_port": free_port(),
            "metrics_port": free_port(),
            "parallel_workers": 0,
        }
        (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        described = {"name": "peer", "implementation": "mlserver_app.Peer"}
        (folder / "model-settings.json").write_text(json.dumps(described), encoding="utf-8")
        return [str(programs / "mlserver"), "start", str(folder)]
    return [str(python_of(peer)), str(APPS / f"{peer.app}.py")]


def _flat(model: BenchModel) -> list[float]:
    return [round(float(value), DIGITS) for value in model.row.ravel()]


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _ask(target: Target) -> object:
    asked = urllib.request.Request(
        f"http://{LISTENS}:{target.port}{target.path}",
        data=target.body,
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise OSError(f"{error.code}: {error.read()[:500]!r}") from error


def _outputs(answer: object) -> list[float]:
    """Of any peer's answer: OIP, {"y": […]}, or a bare nested list."""
    if isinstance(answer, dict):
        answer = answer["outputs"][0]["data"] if "outputs" in answer else answer["y"]
    return [float(value) for value in np.asarray(answer, np.float64).ravel()]
