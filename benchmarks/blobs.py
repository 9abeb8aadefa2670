"""50 clients fetch 10 MB each, in ranges: the server behind nginx, the server alone, and nginx's own files.

    python benchmarks/blobs.py [--quick] [--json]

All three over TLS on loopback, from one nginx and one server process, by curl with 50 transfers at once.
Each blob comes in four ranges, as a device resumes; every byte is counted. Rounds alternate, and the
median of their ratios is told. There is no bar.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.bars import finish, print_table
from benchmarks.fleet.server import Server, free_port, started_server
from limosa_server.deploy.nginx_config import Site
from limosa_server.settings import ServerSettings

MODEL: Final = "demo/large"
CLIENTS: Final = 50
RANGES: Final = 4
SEARCHED: Final = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
NGINX: Final = """daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {site};
    server {{
        listen 127.0.0.1:{static} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        root {files};
    }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    name: str
    urls: Sequence[str]
    token: str


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="1 MB and 2 rounds")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    size, rounds = (10**6, 2) if asked.quick else (10**7, 5)
    nginx = shutil.which("nginx", path=SEARCHED)
    if nginx is None:
        sys.stderr.write("nginx is not installed: apt-get install nginx-light\n")
        return 1
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        ways = stack.enter_context(running(Path(name), nginx, size))
        rows = measured(ways, size=size, rounds=rounds, folder=Path(name))
    print_table(rows)
    return finish(rows, [], as_json=asked.json, packages=("limosa", "uvicorn", "fastapi"))


@contextlib.contextmanager
def running(folder: Path, nginx: str, size: int) -> Iterator[list[Way]]:
    """The server twice on two folders, since one of them is behind nginx; the same blobs in both."""
    with (
        started_server(folder / "alone") as alone,
        started_server(folder / "behind", behind_nginx=True) as behind,
    ):
        blobs = [os.urandom(size) for _ in range(CLIENTS)]
        for server in (alone, behind):
            push(server, blobs)
        files = folder / "files"
        files.mkdir()
        for at, data in enumerate(blobs):
            (files / f"{at}.bin").write_bytes(data)
        digests = [hashlib.sha256(data).hexdigest() for data in blobs]
        paths = [f"/v2/{MODEL}/blobs/sha256:{digest}" for digest in digests]
        with started_nginx(folder, nginx, behind, files) as static:
            yield [
                Way(name="nginx static", urls=[f"{static}/{at}.bin" for at in range(CLIENTS)], token=""),
                Way(name="behind nginx", urls=[behind.public + path for path in paths], token=behind.token),
                Way(name="alone", urls=[alone.public + path for path in paths], token=alone.token),
            ]


@contextlib.contextmanager
def started_nginx(folder: Path, program: str, behind: Server, files: Path) -> Iterator[str]:
    """The URL of nginx's own files; the server's site is on the port of its public URL."""
    here = folder / "nginx"
    here.mkdir()
    trust = behind.data / "trust"
    certificate, key = trust / "server.crt", trust / "server.pem"
    static = free_port()
    settings = ServerSettings(
        data=behind.data, port=behind.port, public_url=behind.public, behind_proxy="nginx"
    )
    site = here / "site.conf"
    listen = behind.public.rpartition("/")[2].replace("localhost", "127.0.0.1")
    site.write_text(Site(settings=settings, certificate=certificate, key=key, listen=listen).text())
    config = here / "nginx.conf"
    config.write_text(
        NGINX.format(folder=here, site=site, static=static, certificate=certificate, key=key, files=files)
    )
    process = subprocess.Popen([program, "-p", str(here), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        url = f"https://localhost:{static}"
        wait_for(url, ssl.create_default_context(cafile=str(trust / "ca.crt")))
        yield url
    finally:
        process.terminate()
        process.wait(10)


def wait_for(url: str, trusted: ssl.SSLContext) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            httpx.get(url, verify=trusted, trust_env=False)
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def push(server: Server, blobs: Sequence[bytes]) -> None:
    with server.http() as http:
        for data in blobs:
            begun = http.post(f"/v2/{MODEL}/blobs/uploads/").raise_for_status()
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            place = begun.headers["location"]
            http.put(place, params={"digest": digest}, content=data).raise_for_status()


def measured(ways: Sequence[Way], *, size: int, rounds: int, folder: Path) -> list[dict[str, object]]:
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            seconds[way.name].append(fetch(way, size=size, folder=folder))
    base = seconds[ways[0].name]
    rows: list[dict[str, object]] = []
    for way in ways:
        middle = statistics.median(seconds[way.name])
        ratio = statistics.median(mine / theirs for mine, theirs in zip(seconds[way.name], base, strict=True))
        rows.append(
            {
                "way": way.name,
                "seconds": round(middle, 3),
                "MB/s": round(CLIENTS * size / middle / 1e6, 1),
                "time over nginx static": round(ratio, 2),
            }
        )
    return rows


def fetch(way: Way, *, size: int, folder: Path) -> float:
    """Seconds for all of it. Raises where one byte is missing: a benchmark of failures measures nothing."""
    step = size // RANGES
    blocks = []
    for url in way.urls:
        for at in range(RANGES):
            last = size - 1 if at == RANGES - 1 else (at + 1) * step - 1
            lines = [f'url = "{url}"', f'range = "{at * step}-{last}"', 'output = "/dev/null"', "insecure"]
            lines.append('write-out = "%{http_code} %{size_download}\\n"')
            lines += [f'header = "Authorization: Bearer {way.token}"'] if way.token else []
            blocks.append("\n".join(lines))
    config = folder / "curl.conf"
    config.write_text("\nnext\n".join(blocks) + "\n")
    command = ["curl", "--parallel", "--parallel-max", str(CLIENTS), "--silent", "--config", str(config)]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    took = time.monotonic() - started
    answers = [line.split() for line in done.stdout.splitlines()]
    got = sum(int(received) for code, received in answers if code == "206")
    if done.returncode != 0 or got != CLIENTS * size:
        raise SystemExit(f"{way.name}: {got} bytes of {CLIENTS * size}; curl ended with {done.returncode}")
    return took


if __name__ == "__main__":
    sys.exit(main())
