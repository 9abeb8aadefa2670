"""A real server process with keys of its own, for benchmarks; gone with its folder afterwards."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

TEAM: Final = "demo"
READY_S: Final = 60.0
BIN: Final = Path(sys.executable).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`public`: what clients call it, without a trailing slash; `pid` of its process."""

    folder: Path
    port: int
    public: str
    mqtt: str
    pid: int

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def offline(self) -> Path:
        return self.folder / "offline"

    @property
    def token(self) -> str:
        return (self.data / "admin.token").read_text().strip()

    @property
    def ca(self) -> Path:
        return self.data / "trust" / "ca.crt"

    def http(self, *, base_url: str = "") -> httpx.Client:
        """Of its own socket, not of a proxy in front of it."""
        plain = not self.public.endswith(f":{self.port}") or self.public.startswith("http:")
        url = base_url or (f"http://127.0.0.1:{self.port}" if plain else self.public)
        trusted: ssl.SSLContext | bool = False
        if url.startswith("https:"):
            trusted = ssl.create_default_context(cafile=str(self.ca))
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=url, verify=trusted, trust_env=False, headers=headers, timeout=60)


@contextlib.contextmanager
def started_server(
    folder: Path, *options: str, behind_nginx: bool = False, dev: bool = False
) -> Iterator[Server]:
    """Raises SystemExit with what it said if it does not start."""
    make_keys(folder)
    with running_server(folder, *options, behind_nginx=behind_nginx, dev=dev) as server:
        yield server


def make_keys(folder: Path) -> None:
    folder.mkdir(parents=True)
    command = [
        str(BIN / "limosa"), "keys", "init", "--dev", "--team", TEAM,
        "--offline", str(folder / "offline"), "--server", str(folder / "data" / "trust"),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)


@contextlib.contextmanager
def running_server(
    folder: Path,
    *options: str,
    behind_nginx: bool = False,
    dev: bool = False,
    ports: Sequence[int] = (),
) -> Iterator[Server]:
    """On keys that are there already."""
    port, mqtt, public = (*ports, 0, 0, 0)[:3] if ports else (free_port(), free_port(), free_port())
    command = [
        str(BIN / "limosa"), "server", "run", "--data", str(folder / "data"),
        "--listen", f"127.0.0.1:{port}", "--mqtt-port", str(mqtt), *options,
    ]  # fmt: skip
    if dev:
        command.append("--dev")
    elif behind_nginx:
        command += ["--behind-proxy", "nginx", "--public-url", f"https://localhost:{public}"]
    log = folder / "server.log"
    with log.open("ab") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        said = _ready(process, log)
        yield Server(folder=folder, port=port, public=said["url"], mqtt=said["mqtt"], pid=process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _ready(process: subprocess.Popen[str], log: Path) -> dict[str, str]:
    assert process.stdout is not None
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        if line.startswith("{"):
            said: dict[str, str] = json.loads(line)
            return said
        if not line:
            break
    process.kill()
    raise SystemExit(f"the server did not start: {log.read_text()[-2000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def broker_of(server: int) -> int | None:
    """The mosquitto that this server process has started; None between two of them."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == server and (entry / "comm").read_text().strip() == "mosquitto":
                return int(entry.name)
    return None
