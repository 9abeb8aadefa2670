"""One machine as in production: a broker of its own, the server behind nginx, TLS in front of both."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from limosa_contracts.enrolment import REQUEST_SCHEMA, Enrolled
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_server.deploy.broker_files import write_broker_files
from limosa_server.deploy.nginx_config import Site
from limosa_server.settings import ServerSettings
from tests.fleet_server.world import Device, make_trust
from tests.support.ports import free_port, wait_for_port
from tests.support.processes import Processes, Started, script
from tests.support.programs import require_program

NGINX_CONF = """daemon off;
master_process {master};
pid {folder}/nginx.pid;
error_log stderr;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    access_log off;
    include {types};
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {site};
}}
"""


@dataclass(slots=True)
class Production:
    folder: Path
    settings: ServerSettings
    server: Started
    broker: Started
    nginx: Started

    @property
    def admin(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {(self.settings.data / 'admin.token').read_text().strip()}"}

    def http(self, *, token: bool = True) -> httpx.Client:
        trusted = ssl.create_default_context(cafile=str(self.settings.trust / "ca.crt"))
        headers = self.admin if token else {}
        return httpx.Client(
            base_url=self.settings.public_url, verify=trusted, trust_env=False, headers=headers, timeout=20
        )

    def enroll(self) -> Device:
        device = Device(key=SigningKey.generate(Algorithm.P256))
        with self.http() as http:
            token = http.post("/api/v1/enrollment-tokens", json={}).json()["token"]
            body = {"schema": REQUEST_SCHEMA, "token": token, "csr": device.csr()}
            device.enrolled = Enrolled.parse(http.post("/api/v1/enroll", json=body).content)
        return device


@contextmanager
def running_production(processes: Processes, folder: Path) -> Iterator[Production]:
    mosquitto, nginx = require_program("mosquitto"), require_program("nginx")
    make_trust(folder)
    (folder / "data").chmod(0o700)
    port, https, mqtt = free_port(), free_port(), free_port()
    settings = ServerSettings(
        data=folder / "data",
        port=port,
        mqtt_port=mqtt,
        public_url=f"https://localhost:{https}",
        broker="external",
        behind_proxy="nginx",
    )
    files = write_broker_files(settings, host="127.0.0.1", port=mqtt, user="root")
    broker = processes.start([mosquitto, "-c", str(files.config)], name="mosquitto")
    wait_for_port(mqtt)
    server = processes.start(
        [
            script("limosa"), "server", "run", "--data", str(settings.data),
            "--listen", f"127.0.0.1:{port}", "--mqtt-port", str(mqtt), "--broker", "external",
            "--behind-proxy", "nginx", "--public-url", settings.public_url,
        ],
        name="server",
    )  # fmt: skip
    server.wait_for_log('"ready"', timeout_s=60)
    site = folder / "site.conf"
    trust = settings.trust
    site.write_text(
        Site(
            settings=settings,
            certificate=trust / "server.crt",
            key=trust / "server.pem",
            listen=f"127.0.0.1:{https}",
        ).text()
    )
    front = start_nginx(processes, nginx, folder / "nginx", site)
    wait_for_port(https)
    yield Production(folder, settings, server, broker, front)


def start_nginx(processes: Processes, program: str, folder: Path, site: Path) -> Started:
    """One process, so that its end is the end of all of it."""
    folder.mkdir()
    config = folder / "nginx.conf"
    types = "/etc/nginx/mime.types"
    config.write_text(NGINX_CONF.format(folder=folder, site=site, types=types, master="off"))
    return processes.start([program, "-p", str(folder), "-c", str(config)], name="nginx")


def ready_line(server: Started) -> dict[str, str]:
    line = next(line for line in server.log().splitlines() if line.startswith("{"))
    said: dict[str, str] = json.loads(line)
    return said
